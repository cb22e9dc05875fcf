"""The files of manifests, CSV or Parquet: their columns, how they are read and written."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vidsemi.data.class_names import normalize_labels
from vidsemi.data.csv_texts import CsvWriter, unmarked
from vidsemi.data.row_group import RowGroup
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.parquet import DamagedError, open_parquet, parquet_writer
from vidsemi.io.store import Place

COLUMNS = {
    "path": pa.string(),  # relative to `root` or to the manifest's folder, absolute, or a URI
    "label": pa.string(),  # class name
    "hashtags": pa.string(),  # "#a #b"
    "group": pa.string(),  # examples that a validation split keeps together
    "start": pa.float64(),  # trim, seconds
    "end": pa.float64(),
    "member": pa.string(),  # name of the file inside the tar at `path`
    "offset": pa.int64(),  # where that file begins in the tar, bytes
    "size": pa.int64(),
    "frames_per_second": pa.float64(),  # of a folder of frames, if `path` is one
}

GROUP = 1 << 20  # rows of a row group, as pyarrow writes them by default
ROWS = 1 << 16  # rows of a batch: 6 MB of paths and hashtags


def check_suffix(file: Path) -> None:
    """Raise a UserError unless the suffix is .csv or .parquet."""
    if file.suffix not in (".csv", ".parquet"):
        raise UserError("manifest.unknown_suffix", f"{file}: a manifest must be a .csv or .parquet file")


def read_batches(file: Path) -> Iterator[pa.RecordBatch]:
    """Read the columns in `COLUMNS` that a manifest has, checked and with normalized labels, some rows at a time.

    Raises:
        UserError: the file does not exist or is not a manifest: a column is missing, empty or of the wrong type.
    """
    check_exists(file)
    check_suffix(file)
    rows = 0
    for batch in _read_csv(file) if file.suffix == ".csv" else _read_parquet(file):
        if batch.num_rows:
            yield from _checked(file, batch, rows).to_batches()
        rows += batch.num_rows
    if rows == 0:
        raise UserError("manifest.empty", f"{file} has a header but no examples")


def _read_csv(file: Path) -> Iterator[pa.RecordBatch]:
    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        with pyarrow.csv.open_csv(file, parse_options=lines) as reader:
            names = reader.schema.names
        options = pyarrow.csv.ConvertOptions(
            column_types=COLUMNS,
            include_columns=_known(file, names),
            strings_can_be_null=True,
            null_values=[""],
        )
        with pyarrow.csv.open_csv(file, parse_options=lines, convert_options=options) as reader:
            yield from reader
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from None


def _read_parquet(file: Path) -> Iterator[pa.RecordBatch]:
    with open_manifest_parquet(file) as parquet:
        known, left = _known(file, parquet.schema_arrow.names), parquet.metadata.num_rows
        for batch in parquet.iter_batches(ROWS, columns=known):
            left -= batch.num_rows
            yield batch.select(known)
        if left:
            raise DamagedError("its number of rows is not what its footer says")


def _known(file: Path, names: Sequence[str]) -> list[str]:
    """The columns of a manifest among those of a file."""
    for name in COLUMNS:
        if (count := names.count(name)) > 1:
            raise UserError("manifest.duplicate_column", f"{file} has {count} columns named '{name}'")
    if "path" not in names:
        columns = ", ".join(names)
        raise UserError("manifest.missing_column", f"{file} has no column 'path'; its columns are: {columns}")
    return [name for name in COLUMNS if name in names]


def _checked(file: Path, batch: pa.RecordBatch, first: int) -> pa.Table:
    table = pa.Table.from_batches([batch])
    try:
        table = table.cast(pa.schema([(name, COLUMNS[name]) for name in table.column_names]))
    except pa.ArrowException as error:
        raise UserError("manifest.wrong_type", f"{file} has a column of the wrong type: {error}") from None
    if file.suffix == ".csv":
        table = unmarked(table)
    if "label" in table.column_names:
        labels = normalize_labels(table.column("label"))
        table = table.set_column(table.column_names.index("label"), "label", labels)
    missing = np.flatnonzero(pc.is_null(table.column("path")).to_numpy())
    if len(missing):
        raise UserError("manifest.missing_path", f"{file}: {row_name(file, first + missing[0])} has no path")
    return table


def row_name(file: Place, row: int) -> str:
    """A row as an editor (CSV) or a reader of the table (Parquet) counts it."""
    return f"line {row + 2}" if file.suffix == ".csv" else f"row {row}"


@contextmanager
def open_manifest_parquet(file: Path) -> Iterator[Any]:
    """Open a Parquet file to read it in batches; a `UserError` if it cannot be read."""
    check_exists(file)
    try:
        with open_parquet(file, in_batches=True) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def check_exists(file: Path) -> None:
    """Raise a UserError unless a manifest is there."""
    if not file.is_file():
        raise UserError("manifest.missing_file", f"manifest {file} does not exist (looked for {file.absolute()})")


def _unreadable(file: Path, error: Exception) -> UserError:
    why = " ".join(str(error).split())
    return UserError("manifest.unreadable", f"{file} cannot be read as a manifest: {why}")


def write_manifest(file: Path, columns: dict[str, list[Any]]) -> None:
    """Write a manifest, CSV or Parquet by the suffix of `file`, from lists of values by the names in `COLUMNS`."""
    table = pa.table({name: pa.array(values, COLUMNS[name]) for name, values in columns.items()})
    write_tables(file, table.schema, [table])


def write_tables(file: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a manifest table by table, so that it need not fit in memory; CSV or Parquet by the suffix of `file`."""
    with table_writer(file, schema) as writer:
        for table in tables:
            writer.write_table(table)


def write_groups(writer: Any, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write the rows of tables of any size in row groups of `GROUP`, of which one is in memory."""
    group = RowGroup(schema, GROUP)
    for table in tables:
        while len(table := group.add(table)):
            writer.write_table(group.take())
    if len(group):
        writer.write_table(group.take())


@contextmanager
def table_writer(file: Path, schema: pa.Schema) -> Iterator[Any]:
    """Write a file atomically, CSV or Parquet by its suffix: yields an object with `write_table`."""
    check_suffix(file)
    if file.suffix == ".parquet":
        with parquet_writer(file, schema) as writer:
            yield writer
    else:
        with atomic_path(file) as temporary, CsvWriter(temporary, schema) as writer:
            yield writer
