"""The files of manifests, CSV or Parquet: their columns, how they are read and written."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from vidsemi.data.csv_texts import CsvWriter
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.parquet import open_parquet, parquet_writer, read_parquet

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


def check_suffix(file: Path) -> None:
    """Raise a UserError unless the suffix is .csv or .parquet."""
    if file.suffix not in (".csv", ".parquet"):
        raise UserError("manifest.unknown_suffix", f"{file}: a manifest must be a .csv or .parquet file")


def read_table(file: Path) -> pa.Table:
    """Read a CSV with a header or a Parquet file; the CSV columns in `COLUMNS` get their types."""
    if not file.is_file():
        raise _missing(file)
    check_suffix(file)
    try:
        if file.suffix == ".parquet":
            return read_parquet(file)
        options = pyarrow.csv.ConvertOptions(column_types=COLUMNS, strings_can_be_null=True, null_values=[""])
        lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
        return pyarrow.csv.read_csv(file, parse_options=lines, convert_options=options)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from None


@contextmanager
def open_manifest_parquet(file: Path) -> Iterator[Any]:
    """Open a Parquet file to read it in batches; a `UserError` if it cannot be read."""
    if not file.is_file():
        raise _missing(file)
    try:
        with open_parquet(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def _missing(file: Path) -> UserError:
    return UserError("manifest.missing_file", f"manifest {file} does not exist (looked for {file.absolute()})")


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
