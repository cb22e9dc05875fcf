"""The rows of a table in any of its files: CSV, TSV, JSON lines, Parquet."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa

from vidsemi.data.formats.csv_blocks import Block, CsvBlocks
from vidsemi.data.formats.json_blocks import JsonBlocks, JsonRows
from vidsemi.data.formats.media_files import MEDIA_SUFFIXES
from vidsemi.data.formats.table_columns import TableBlock
from vidsemi.data.formats.text_rows import NOT_JSON, Broken, is_json_lines, json_rows, stream_lines, text_suffix
from vidsemi.data.manifest_file import COLUMNS, open_manifest_parquet
from vidsemi.io.errors import UserError
from vidsemi.io.parquet import DamagedError

Blocks = Iterator[Callable[[], TableBlock]]  # each may be called in a thread

ROWS = 50_000  # of a block of Parquet
FIRST = 5_000  # JSON lines that are read before the others
PATH_COLUMNS = {"file", "file_name", "filename", "filepath", "file_path", "video", "video_path", "image", "image_path"}


def open_table(
    file: Path, names: Mapping[str, str], broken: Broken, known: AbstractSet[str] = frozenset()
) -> tuple[set[str], Blocks]:
    """The columns of a table (of JSON lines: `known`; the others are keys of the blocks), and its rows, block by block.

    Args:
        file: .csv, .tsv, .jsonl (each also as .gz or .bz2) or .parquet.
        names: of the table's columns, by the manifest's names.
        broken: receives the lines that are not rows; those of JSON lines are in the blocks.
        known: keys of JSON lines.
    """
    suffix = text_suffix(file)
    if is_json_lines(file):
        types = {name: COLUMNS.get(name, pa.string()) for name in names}
        return set(known), _json_blocks(JsonBlocks(file, names, types, "hashtags"))
    if suffix in (".csv", ".tsv"):
        csv = CsvBlocks(file, "\t" if suffix == ".tsv" else _delimiter(file), broken)
        if not csv.header or broken:
            why = f": line {broken[0][0]} {broken[0][1]}" if broken else ""
            raise UserError("table.missing_header", f"{file} has no header{why}")
        _check_names(file, csv.header, names)
        return set(csv.header), _csv_blocks(csv, names)
    if file.suffix == ".parquet":
        with open_manifest_parquet(file) as parquet:
            columns = parquet.schema_arrow.names
        _check_names(file, columns, names)
        return set(columns), _parquet_blocks(file, names)
    raise UserError(
        "table.unknown_suffix",
        f"{file}: a table must be a .csv, .tsv or .jsonl (also .gz or .bz2), or a .parquet; other files have "
        "formats of their own: `vidsemi manifest --help`",
    )


def first_keys(file: Path) -> set[str]:
    """The keys of the first JSON lines of a file; empty if it is another file, or none of its lines is JSON."""
    if not is_json_lines(file):
        return set()
    with closing(json_rows(file, [])) as rows:
        return {key for _, row in islice(rows, FIRST) for key in row}


def all_keys(file: Path) -> set[str]:
    """The keys of all JSON lines of a file."""
    return {key for _, row in json_rows(file, []) for key in row}


def _check_names(file: Path, columns: list[str], names: Mapping[str, str]) -> None:
    for name in names.values():
        if columns.count(name) > 1:
            raise UserError("table.duplicate_column", f"{file} has {columns.count(name)} columns named '{name}'")
    check_columns(file, columns, names)


def _csv_blocks(csv: CsvBlocks, names: Mapping[str, str]) -> Blocks:
    there = {name: csv.header.index(column) for name, column in names.items() if column in csv.header}
    csv.places = tuple({*there.values()})
    pick = itemgetter(*(there.get(name, len(csv.header)) for name in names))

    def read(block: Block) -> TableBlock:
        columns = block.parse()
        own = {name: columns[place] for name, place in there.items()} if columns else {}
        return TableBlock(block.numbers, own, [(number, pick([*row, None])) for number, row in block.others])

    return (partial(read, block) for block in csv)


def _json_blocks(json: JsonBlocks) -> Blocks:
    def read(rows: Callable[[], JsonRows]) -> TableBlock:
        found = rows()
        broken = [(number, NOT_JSON) for number in found.broken]
        return TableBlock(found.numbers, found.columns, found.others, broken, found.keys)

    return (partial(read, rows) for rows in json)


def _parquet_blocks(file: Path, names: Mapping[str, str]) -> Blocks:
    """Values cast to the manifest's types; tags are text or lists of text."""
    first = 1
    with open_manifest_parquet(file) as parquet:
        there = {name: column for name, column in names.items() if column in parquet.schema_arrow.names}
        for batch in parquet.iter_batches(ROWS, columns=list(there.values())):
            try:
                arrays = {name: _cast(batch.column(column), name) for name, column in there.items()}
            except pa.ArrowException as error:
                raise UserError("table.wrong_type", f"{file} has a column of the wrong type: {error}") from None
            numbers = np.arange(first, first + batch.num_rows)
            yield partial(TableBlock, numbers, arrays, [])
            first += batch.num_rows
        if first - 1 != parquet.metadata.num_rows:
            raise DamagedError("its number of rows is not what its footer says")


def _cast(values: pa.Array, name: str) -> pa.Array:
    is_list = name == "hashtags" and (pa.types.is_list(values.type) or pa.types.is_large_list(values.type))
    return values.cast(pa.list_(pa.string()) if is_list else COLUMNS.get(name, pa.string()))


def check_columns(file: Path, columns: Sequence[str] | AbstractSet[str], names: Mapping[str, str]) -> None:
    """Refuse a table with neither paths nor ids, or without a column that the user named."""
    first = (columns if isinstance(columns, list) else sorted(columns))[:50]
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in first)
    for name in missing_columns(columns, names) if columns else ():
        raise UserError(
            "table.missing_column",
            f"{file} has no column '{names[name]}'; its columns are: {shown[:300]}{_hint(name, columns)}",
        )


def missing_columns(columns: Sequence[str] | AbstractSet[str], names: Mapping[str, str]) -> list[str]:
    """The names of the columns that are needed and not there."""
    return [
        name
        for name, column in names.items()
        if (column != name or (name == "path" and names["id"] not in columns)) and column not in columns
    ]


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
