"""The rows of a table in any of its files: CSV, TSV, JSON lines, Parquet."""

import os
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.data.formats.media_files import MEDIA_SUFFIXES
from vidsemi.data.formats.text_rows import Broken, csv_rows, json_rows, stream_lines, text_suffix
from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Iterator[tuple[int, Sequence[Any]]]  # line numbers, from 1, and the values of the requested columns or None

PATH_COLUMNS = {"file", "file_name", "filename", "filepath", "file_path", "video", "video_path", "image", "image_path"}


def open_table(file: Path, names: dict[str, str], broken: Broken) -> tuple[AbstractSet[str], Rows]:
    """The columns of a table (of JSON lines: complete once the rows are read), and the values of those in `names`."""
    suffix = text_suffix(file)
    if suffix in (".jsonl", ".ndjson"):
        seen: set[str] = set()
        return seen, _json_values(file, list(names.values()), seen, broken)
    if suffix in (".csv", ".tsv"):
        rows = csv_rows(file, "\t" if suffix == ".tsv" else _delimiter(file), broken)
        _, header = next(rows, (0, []))
        if not header or broken:
            why = f": line {broken[0][0]} {broken[0][1]}" if broken else ""
            raise UserError("table.missing_header", f"{file} has no header{why}")
        columns = header
    elif file.suffix == ".parquet":
        from vidsemi.data.manifest import read_table

        table = read_table(file)
        columns = table.column_names
    else:
        raise UserError(
            "table.unknown_suffix",
            f"{file}: a table must be a .csv, .tsv or .jsonl (also .gz or .bz2), or a .parquet; other files have "
            "formats of their own: `vidsemi manifest --help`",
        )
    for name in names.values():
        if columns.count(name) > 1:
            raise UserError("table.duplicate_column", f"{file} has {columns.count(name)} columns named '{name}'")
    check_columns(file, columns, names)
    if file.suffix == ".parquet":
        return set(columns), _parquet_values(file, table, names)
    pick = itemgetter(*(columns.index(name) if name in columns else len(columns) for name in names.values()))
    return set(columns), ((number, pick([*row, None])) for number, row in rows)


def _json_values(file: Path, names: list[str], seen: set[str], broken: Broken) -> Rows:
    for number, row in json_rows(file, broken):
        seen.update(row)
        yield number, list(map(row.get, names))


def _parquet_values(file: Path, table: "pa.Table", names: dict[str, str]) -> Rows:
    """Values cast to the manifest's types; tags are text or lists of text."""
    import pyarrow as pa

    from vidsemi.data.manifest import COLUMNS

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
        raise UserError("table.wrong_type", f"{file} has a column of the wrong type: {error}") from None
    yield from enumerate(zip(*columns.values(), strict=True), start=1)


def check_columns(file: Path, columns: Sequence[str] | AbstractSet[str], names: dict[str, str]) -> None:
    """Refuse a table with neither paths nor ids, or without a column that the user named."""
    first = (columns if isinstance(columns, list) else sorted(columns))[:50]
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in first)
    for name, column in names.items():
        is_needed = column != name or (name == "path" and names["id"] not in columns)
        if is_needed and column not in columns and columns:
            raise UserError(
                "table.missing_column",
                f"{file} has no column '{column}'; its columns are: {shown[:300]}{_hint(name, columns)}",
            )


def _delimiter(file: Path) -> str:
    """What parts the columns of a .csv: commas, or semicolons or tabs if the header has only these."""
    with closing(stream_lines(file, newline="")) as lines:
        header = next(lines, "")
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _hint(name: str, columns: Sequence[str] | AbstractSet[str]) -> str:
    if name != "path":
        return ""
    if any(os.path.splitext(column.split()[0])[1].lower() in MEDIA_SUFFIXES for column in columns if column.strip()):
        return "; a list without a header is read by `vidsemi manifest path_list`"
    named = [column for column in columns if column.lower() in PATH_COLUMNS]
    return f"; did you mean --path-column {named[0]}?" if named else ""
