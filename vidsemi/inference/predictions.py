"""The table of predictions: a row for each example, with its highest-scoring classes; Parquet or CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.parquet import parquet_writer
from vidsemi.io.tables import inert_cell

TOP = 5  # classes of each example in the predictions of a test stage, and by default
IDENTITY = ("path", "member", "start", "end", "label")  # columns of a manifest that are copied, if it has them


@dataclass(frozen=True)
class Predicted:
    """Predictions for consecutive examples of a manifest."""

    examples: range
    ids: np.ndarray  # (n,) int64: the examples that could be read
    labels: np.ndarray  # (n, top) int: their classes, the highest-scoring first
    scores: np.ndarray  # (n, top) float32
    errors: dict[int, str]  # why the other examples could not be read


def check_suffix(file: Path) -> None:
    """Raise a `UserError` unless the suffix is .csv or .parquet."""
    if file.suffix not in (".csv", ".parquet"):
        raise UserError("predictions.unknown_suffix", f"--output {file} must end with .csv or .parquet")


def write_predictions(
    file: Path, manifest: Manifest, classes: Sequence[str], top: int, parts: Iterable[Predicted]
) -> None:
    """Write predictions atomically, CSV or Parquet by the suffix of `file`, without holding all in memory.

    The columns are `example_id`, those of `IDENTITY` that the manifest has, `class_1`, `score_1`, … to the last of the
    `top` classes, and `error`. An example that cannot be read has an error and no classes, the others no error. In a
    CSV an apostrophe goes before texts that a spreadsheet would take for a formula.

    Args:
        file: the file to write.
        manifest: the examples.
        classes: names of the classes.
        top: classes of each example, at most as many as there are.
        parts: all examples, in order.
    """
    names = pa.array(classes, pa.string())
    tables = (_table(manifest, names, top, part) for part in parts)
    schema = _schema(manifest, top)
    if file.suffix == ".csv":
        _write_csv(file, schema, tables)
        return
    with parquet_writer(file, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _schema(manifest: Manifest, top: int) -> pa.Schema:
    own = [manifest.batches.schema.field(name) for name in IDENTITY if name in manifest.columns]
    pairs = [
        field
        for rank in range(1, top + 1)
        for field in ((f"class_{rank}", pa.string()), (f"score_{rank}", pa.float32()))
    ]
    return pa.schema([("example_id", pa.int64()), *own, *pairs, ("error", pa.string())])


def _table(manifest: Manifest, classes: pa.Array, top: int, part: Predicted) -> pa.Table:
    schema, examples = _schema(manifest, top), part.examples
    rows = manifest.batches.slice(examples)
    places = np.full(len(examples), -1)
    places[part.ids - examples.start] = np.arange(len(part.ids))
    taken = pa.array(places, mask=places < 0)  # null where an example could not be read
    columns = [pa.array(examples, pa.int64())]
    columns += [rows.column(name) for name in IDENTITY if name in rows.column_names]
    for rank in range(top):
        columns.append(pc.take(classes, pc.take(pa.array(part.labels[:, rank].astype(np.int64)), taken)))
        columns.append(pc.take(pa.array(part.scores[:, rank].astype(np.float32)), taken))
    columns.append(pa.array([part.errors.get(example) for example in examples], pa.string()))
    return pa.table(columns, schema=schema)


def _write_csv(file: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(schema.names)
        for table in tables:
            writer.writerows(zip(*map(_cells, table.columns), strict=True))


def _cells(column: pa.ChunkedArray) -> Iterator[object]:
    if column.type == pa.float32():  # in as few digits as tell it from others
        column = pc.cast(column, pa.string())
    for value in column.to_pylist():
        yield inert_cell(value) if isinstance(value, str) else value
