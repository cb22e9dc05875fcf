"""Manifests from tables that others wrote: files by path or by id, with labels and hashtags. Nothing opens a video.

Hashtags are text from strangers. They are kept in canonical form only, letters and numbers behind a `#`, so that in a
CSV no cell of them begins with = + - or @, which spreadsheets take for a formula. An id is looked up among the names of
the files below a folder and never becomes part of a path.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from vidsemi.data.formats.readers import Found, files_by_stem, is_no_text
from vidsemi.data.hashtags.normalize import join_tags, split_tags
from vidsemi.data.hashtags.text_rows import Broken, csv_rows, json_rows, tab_rows, text_suffix
from vidsemi.data.manifest import COLUMNS, read_table
from vidsemi.io.errors import UserError

# numbers of lines, from 1, and what stands in the columns asked for; None where nothing does
Rows = Iterator[tuple[int, Sequence[Any]]]


class BrokenRowError(ValueError):
    """A row that is no example; says why, without its words, which may hold anything."""


def read_table_format(
    file: Path,
    root: Path | None,
    *,
    path_column: str = "path",
    label_column: str = "label",
    hashtags_column: str = "hashtags",
    id_column: str = "id",
    vocabulary: AbstractSet[str] | None = None,
) -> Found:
    """A CSV or TSV with a header, JSON lines (each perhaps .gz or .bz2), or a Parquet file.

    Args:
        file: the table.
        root: folder that relative paths start from, the file's own if None; and where files are looked for by id.
        path_column: name of the column of paths.
        label_column: name of the column of labels.
        hashtags_column: name of the column of tags, which are text or, in JSON and Parquet, lists.
        id_column: name of the column of ids; counts where a row has no path.
        vocabulary: canonical tags; examples that carry none of them are left out.

    Raises:
        UserError: the file cannot be read, a column is not there or of a wrong type, or every row is broken.
    """
    names = {"path": path_column, "id": id_column, "label": label_column, "hashtags": hashtags_column}
    names |= {name: name for name in COLUMNS if name not in names}
    found = Found({name: [] for name in names if name != "id"})
    present, rows = _open_table(file, names, found.broken)
    files = _Files(root)
    folder = str(root or file.parent)
    for number, (path, name, label, field, *rest) in rows:
        try:
            path = _located(path, name, folder, files)
            if path is None:
                found.missing.append(str(name))
                continue
            tags = _tags(field)
            if vocabulary is not None and vocabulary.isdisjoint(tags):
                found.left_out += 1
                continue
            if rest.count(None) < len(rest):  # most tables have none of these columns
                rest = [read(value, what) for (what, read), value in zip(READERS.items(), rest, strict=True)]
            values = [path, _text(label, "label"), join_tags(tags) or None, *rest]
        except BrokenRowError as error:
            found.broken.append((number, str(error)))
            continue
        for column, value in zip(found.columns.values(), values, strict=True):
            column.append(value)
    _check_columns(file, present, names)
    if vocabulary is not None and hashtags_column not in present:
        raise UserError(f"{file} has no column '{hashtags_column}', which a choice by tags needs")
    found.columns = {name: found.columns[name] for name in found.columns if name == "path" or names[name] in present}
    return _checked(file, found)


def read_yfcc100m(file: Path, root: Path, vocabulary: AbstractSet[str] | None = None) -> Found:
    """The table of YFCC100M as it is distributed, perhaps .gz or .bz2: photos and videos, a line each.

    There are three forms, told apart by the number of columns. All end in the same 22, the user's id first, the tags
    eighth, 0 for a photo or 1 for a video last; before them stand

    - 25 columns: the number of the line, the photo's or video's id, a hash,
    - 23 columns: the id,
    - 24 columns: the id and a hash of 32 digits, or else the number of the line and the id.

    Args:
        file: the table.
        root: where files are looked for that are called by an id. Lines of others are counted, not named: the table
            has 100 million.
        vocabulary: canonical tags; examples that carry none of them are left out.

    Raises:
        UserError: the file cannot be read, or every line is broken.
    """
    found = Found({"path": [], "hashtags": []})
    files = _Files(root)
    for number, row in tab_rows(file):
        try:
            path = files.find(_yfcc100m_id(row))
        except BrokenRowError as error:
            found.broken.append((number, str(error)))
            continue
        if path is None:
            found.elsewhere += 1
            continue
        tags = split_tags(row[-15])
        if vocabulary is not None and vocabulary.isdisjoint(tags):
            found.left_out += 1
        else:
            found.add(path=path, hashtags=join_tags(tags) or None)
    return _checked(file, found)


def _yfcc100m_id(row: list[str]) -> str:
    if not 23 <= len(row) <= 25:
        raise BrokenRowError(f"has {len(row)} columns, not 23 to 25")
    is_numbered = len(row) == 25 or (len(row) == 24 and len(row[1]) != 32)  # 32 is what a hash has
    name = row[1] if is_numbered else row[0]
    if not (name.isascii() and name.isdecimal()) or row[-1] not in ("0", "1"):
        raise BrokenRowError("is no line of YFCC100M: no number as id, or no 0 or 1 at its end")
    return name


class _Files:
    """The files below a folder by their names without suffix; a video goes before an image of its name."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def find(self, name: str) -> str | None:
        return self._by_stem.get(name)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        if self._root is None:
            raise BrokenRowError("has an id and no path, and no --root says where the files are")
        return files_by_stem(self._root)


def _located(path: Any, name: Any, folder: str, files: _Files) -> str | None:
    """A row's file as it can be opened; None if it is told by its id and not there."""
    if path is not None and path != "":
        path = _text(path, "path") or ""
        return path if "://" in path else os.path.join(folder, path)
    if type(name) is int:  # as JSON may have it
        name = str(name)
    if name is None or name == "":
        raise BrokenRowError("has neither path nor id")
    if not isinstance(name, str) or not name.isprintable():  # lone surrogates are not
        raise BrokenRowError("has an id that is no text")
    return files.find(name)


def _text(value: Any, what: str) -> str | None:
    if value is None or value == "":
        return None
    if type(value) is int:  # 7 is a label too
        return str(value)
    if not isinstance(value, str) or "\0" in value or is_no_text(value):
        raise BrokenRowError(f"has a {what} that is no text")
    return value


def _tags(field: Any) -> list[str]:
    """Canonical tags. Bytes that are not UTF-8 vanish from them."""
    if isinstance(field, list) and None in field:  # Parquet's nulls, JSON's null
        field = [tag for tag in field if tag is not None]
    if field is None or isinstance(field, str) or (isinstance(field, list) and set(map(type, field)) <= {str}):
        return split_tags(field)
    raise BrokenRowError("has tags that are no text and no list of texts")


def _seconds(value: Any, what: str) -> float | None:
    return _number(float, value, what)


def _bytes(value: Any, what: str) -> int | None:
    return _number(int, value, what)


def _number(kind: Callable, value: Any, what: str) -> Any:
    if value is None or value == "":
        return None
    try:
        number = kind(value)
        # int() cuts 1.5 off, and Parquet's whole numbers have 64 bits
        if not isinstance(value, bool) and (number == value or isinstance(value, str)) and abs(number) < 2**63:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise BrokenRowError(f"has a column {what} that is no {'number' if kind is float else 'whole number'}")


READERS: dict[str, Callable[[Any, str], Any]] = {
    "start": _seconds,
    "end": _seconds,
    "member": _text,
    "offset": _bytes,
    "size": _bytes,
}


def _open_table(file: Path, names: dict[str, str], broken: Broken) -> tuple[AbstractSet[str], Rows]:
    """The columns that a table has (of JSON lines: once they are read), and the rows of those called `names`."""
    suffix = text_suffix(file)
    if suffix in (".jsonl", ".ndjson"):
        seen: set[str] = set()
        return seen, _json_values(file, list(names.values()), seen, broken)
    if suffix in (".csv", ".tsv"):
        rows = csv_rows(file, "\t" if suffix == ".tsv" else ",", broken)
        _, header = next(rows, (0, []))
        if not header or broken:
            raise UserError(f"{file} has no header" + (f": line {broken[0][0]} {broken[0][1]}" if broken else ""))
        columns = header
    elif file.suffix == ".parquet":
        table = read_table(file)
        columns = table.column_names
    else:
        raise UserError(f"{file}: a table is a .csv, .tsv or .jsonl, perhaps with .gz or .bz2, or a .parquet")
    for name in names.values():
        if columns.count(name) > 1:
            raise UserError(f"{file} has {columns.count(name)} columns named '{name}'")
    _check_columns(file, columns, names)
    if file.suffix == ".parquet":
        return set(columns), _parquet_values(file, table, names)
    pick = itemgetter(*(columns.index(name) if name in columns else len(columns) for name in names.values()))
    return set(columns), ((number, pick([*row, None])) for number, row in rows)


def _json_values(file: Path, names: list[str], seen: set[str], broken: Broken) -> Rows:
    for number, row in json_rows(file, broken):
        seen.update(row)
        yield number, list(map(row.get, names))


def _parquet_values(file: Path, table: pa.Table, names: dict[str, str]) -> Rows:
    """Values of the manifest's types; tags as text or lists of it."""
    try:
        columns = {}
        for name, column in names.items():
            if column in table.column_names:
                values = table.column(column)
                kind = COLUMNS.get(name, pa.string())
                is_list = name == "hashtags" and (pa.types.is_list(values.type) or pa.types.is_large_list(values.type))
                columns[name] = values.cast(pa.list_(pa.string()) if is_list else kind).to_pylist()
            else:
                columns[name] = [None] * table.num_rows
    except pa.ArrowException as error:
        raise UserError(f"{file} has a column of a wrong type: {error}") from None
    yield from enumerate(zip(*columns.values(), strict=True), start=1)


def _check_columns(file: Path, columns: Sequence[str] | AbstractSet[str], names: dict[str, str]) -> None:
    """Refuse a table that says neither by path nor by id which files it is about, or has no column that was named."""
    shown = ", ".join(
        name if name.isprintable() else ascii(name)
        for name in (columns if isinstance(columns, list) else sorted(columns))[:50]
    )
    for name, column in names.items():
        is_needed = column != name or (name == "path" and names["id"] not in columns)
        if is_needed and column not in columns and columns:
            raise UserError(f"{file} has no column '{column}'; its columns are: {shown[:300]}")


def _checked(file: Path, found: Found) -> Found:
    """Refuse a table of which nothing can be used."""
    if found.columns["path"] or found.missing or found.elsewhere or found.left_out:
        return found
    if not found.broken:
        raise UserError(f"{file} holds no examples")
    number, wrong = found.broken[0]
    raise UserError(f"not one of the {len(found.broken)} lines of {file} can be used; line {number} {wrong}")
