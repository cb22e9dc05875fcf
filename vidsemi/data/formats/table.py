"""Tables of files by path or id, with labels and hashtags: CSV, TSV, JSON lines, Parquet. No video is opened.

Hashtags are untrusted text. Only their canonical form is kept, letters and numbers behind a `#`, so that no cell in a
CSV begins with = + - or @, which spreadsheets execute as a formula. An id is looked up among the names of the files in
a folder and never becomes part of a path.
"""

import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from vidsemi.data.formats.media_files import FilesByStem, is_utf8
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table_rows import check_columns, open_table
from vidsemi.data.hashtags.captions import TagColumn
from vidsemi.data.hashtags.normalize import join_tags, split_tags
from vidsemi.io.errors import UserError


class BrokenRowError(ValueError):
    """A row that is not an example; says why without quoting it, since it may contain anything."""


@register_format(
    "table",
    summary="a table of paths: CSV, TSV, JSON lines (also .gz, .bz2) or Parquet",
    file="table, .csv, .tsv, .jsonl (also .gz or .bz2) or .parquet",
    root="optional",
    options={
        "--path-column": {"default": "path", "help": "name of the path column"},
        "--label-column": {"default": "label", "help": "name of the label column"},
        "--hashtags-column": {"default": "hashtags", "help": "name of the hashtags column"},
        "--id-column": {
            "default": "id",
            "help": "name of the column that names files in --root, for rows without a path",
        },
    },
    has_hashtags=True,
)
def read_table_format(
    file: Path,
    root: Path | None,
    *,
    path_column: str = "path",
    label_column: str = "label",
    hashtags_column: str = "hashtags",
    id_column: str = "id",
    vocabulary: AbstractSet[str] | None = None,
) -> ScanResult:
    """Read a CSV or TSV with a header, JSON lines (each also as .gz or .bz2), or a Parquet file.

    Relative paths start from the root (default: the table's folder); in it, files are looked up by id for rows without
    a path. Hashtags are text or, in JSON and Parquet, lists. Examples without a canonical tag of the vocabulary are
    left out.

    Raises:
        UserError: the file cannot be read, a column is missing or has the wrong type, or every row is broken.
    """
    from vidsemi.data.manifest import COLUMNS

    names = {"path": path_column, "id": id_column, "label": label_column, "hashtags": hashtags_column}
    names |= {name: name for name in COLUMNS if name not in names}
    scan = ScanResult({name: [] for name in names if name != "id"})
    present, rows = open_table(file, names, scan.broken)
    files = FilesById(root)
    tag_column = TagColumn()
    folder = str(root or file.parent)
    for number, (path, name, label, field, *rest) in rows:
        try:
            path = _locate(path, name, folder, files)
            if path is None:
                scan.missing.append(str(name))
                continue
            tags = tag_column.read(_tag_field(field))
            if vocabulary is not None and vocabulary.isdisjoint(tags):
                scan.left_out += 1
                continue
            if rest.count(None) < len(rest):  # most tables have none of these columns
                rest = [parse(value, what) for (what, parse), value in zip(PARSERS.items(), rest, strict=True)]
            values = [path, _text(label, "label"), join_tags(tags) or None, *rest]
        except BrokenRowError as error:
            scan.broken.append((number, str(error)))
            continue
        for column, value in zip(scan.columns.values(), values, strict=True):
            column.append(value)
        tag_column.keep(len(scan.lines))
        scan.lines.append(number)
    untagged = tag_column.settle(scan.columns["hashtags"])
    if vocabulary is not None:
        kept = [True] * len(scan)
        for row in untagged:
            kept[row] = not vocabulary.isdisjoint(split_tags(scan.columns["hashtags"][row]))
        scan.left_out += kept.count(False)
        scan.keep(kept)
    scan.captions = tag_column.captions
    scan.unique = files.used
    check_columns(file, present, names)
    if vocabulary is not None and hashtags_column not in present:
        raise UserError("table.missing_hashtags", f"{file} has no column '{hashtags_column}' to look for tags in")
    scan.columns = {name: scan.columns[name] for name in scan.columns if name == "path" or names[name] in present}
    return require_usable_rows(file, scan)


class FilesById:
    """The files in a folder by their names without suffix, which is only listed if an id is looked up."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self.used = False  # whether a file was found by its id

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._by_stem)

    def find(self, name: str) -> str | None:
        """The path of the file with this name; None if there is none. If two fit, a UserError names them."""
        path = self._by_stem.get(name)
        self.used |= path is not None
        return path

    @cached_property
    def _by_stem(self) -> FilesByStem:
        if self._root is None:
            raise BrokenRowError("has an id but no path, and --root does not say where the files are")
        return FilesByStem(self._root)


def require_usable_rows(file: Path, scan: ScanResult) -> ScanResult:
    """Return the scan of a table, or raise a UserError if no row of it can be used."""
    if len(scan) or scan.missing or scan.elsewhere or scan.left_out:
        return scan
    if not scan.broken:
        raise UserError("table.empty", f"{file} does not contain any examples")
    number, problem = scan.broken[0]
    raise UserError(
        "table.all_broken", f"none of the {len(scan.broken)} lines of {file} can be used; line {number} {problem}"
    )


def _locate(path: Any, name: Any, folder: str, files: FilesById) -> str | None:
    """The path of a row's file; None if it is given by id and does not exist."""
    if path is not None and path != "":
        path = _text(path, "path") or ""
        if "\\" in path and not os.path.exists(os.path.join(folder, path)):  # as Windows writes it
            slashed = path.replace("\\", "/")
            path = slashed if os.path.exists(os.path.join(folder, slashed)) else path
        return path if "://" in path else os.path.join(folder, path)
    if type(name) is int:  # as JSON may have it
        name = str(name)
    if name is None or name == "":
        raise BrokenRowError("has neither path nor id")
    if not isinstance(name, str) or not name.isprintable():  # lone surrogates are not
        raise BrokenRowError("has an id that is not text")
    return files.find(name)


def _text(value: Any, what: str) -> str | None:
    if value is None or value == "":
        return None
    if type(value) is int:  # 7 is a label too
        return str(value)
    if what == "label" and isinstance(value, list) and len(value) > 1:
        raise BrokenRowError("has several labels, and an example has one")
    if not isinstance(value, str) or "\0" in value or not is_utf8(value):
        raise BrokenRowError(f"has a {what} that is not text")
    return value


def _tag_field(field: Any) -> str | list[str] | None:
    """A field of tags, text or a list of texts; bytes that are not UTF-8 are dropped from the tags later."""
    if isinstance(field, list) and None in field:  # Parquet's nulls, JSON's null
        field = [tag for tag in field if tag is not None]
    if field is None or isinstance(field, str) or (isinstance(field, list) and set(map(type, field)) <= {str}):
        return field
    raise BrokenRowError("has tags that are neither text nor a list of texts")


def _number(kind: Callable[[Any], int | float], value: Any, what: str) -> Any:
    if value is None or value == "":
        return None
    try:
        number = kind(value)
        # int() truncates 1.5, and Parquet's integers have 64 bits
        if not isinstance(value, bool) and (number == value or isinstance(value, str)) and abs(number) < 2**63:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise BrokenRowError(f"has a column {what} that is not a {'number' if kind is float else 'whole number'}")


_seconds, _bytes = partial(_number, float), partial(_number, int)
PARSERS: dict[str, Callable[[Any, str], Any]]
PARSERS = {"group": _text, "start": _seconds, "end": _seconds, "member": _text, "offset": _bytes, "size": _bytes}
PARSERS["frames_per_second"] = _seconds
