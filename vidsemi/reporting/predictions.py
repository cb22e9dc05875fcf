"""The predictions that evaluations stored, as arrays: what confusion and calibration are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsemi.data.class_names import class_name
from vidsemi.io.parquet import open_parquet

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("label", "class_1", "score_1")
ROWS = 1 << 16  # that are read at once

_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class StoredPredictions:
    """Highest-scoring classes of the readable examples of a test set, of one network or of several seeds together.

    Attributes:
        classes: names of the classes that occur, as labels or as predictions, sorted.
        truth: (N,) int32 index into `classes`.
        predicted: (N,) int32 index into `classes`.
        confidence: (N,) float32 score of the predicted class.
        unread: examples that could not be read and are left out.
    """

    classes: list[str]
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    unread: int

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool, whether the prediction is right."""
        return np.asarray(self.truth == self.predicted)


def read_predictions(rows: Sequence[dict[str, Any]], folder: Path) -> StoredPredictions | None:
    """Read the predictions that rows of a run's results.json name; None if none of them has any.

    A file that is missing or not such a table is left out: runs of earlier versions have none.
    """
    import pyarrow as pa

    numbers: dict[str, int] = {}  # of the names, as they come
    found: list[_Piece] = []
    total = 0
    for row in rows:
        try:
            with open_parquet(folder / str(row["predictions"]), in_batches=True) as parquet:
                if not {*COLUMNS} <= {*parquet.schema_arrow.names}:
                    return None
                found += [_piece(batch, numbers) for batch in parquet.iter_batches(ROWS, columns=[*COLUMNS])]
                total += parquet.metadata.num_rows
        except (OSError, KeyError, pa.ArrowException):
            continue
    if not total:
        return None
    truth, predicted, confidence = (np.concatenate(column) for column in zip(*found, strict=True))
    names = np.array([*numbers], object)
    occur = np.zeros(len(names), bool)
    occur[truth], occur[predicted] = True, True
    order = np.flatnonzero(occur)[np.argsort(names[occur])]
    place = np.empty(len(names), np.int32)
    place[order] = np.arange(len(order))
    return StoredPredictions(names[order].tolist(), place[truth], place[predicted], confidence, total - len(truth))


def _piece(batch: "pa.RecordBatch", numbers: dict[str, int]) -> "_Piece":
    """The labels, predicted classes and scores of the readable examples; names are numbered as they come."""
    import pyarrow.compute as pc

    read = batch.filter(pc.and_(pc.is_valid(batch.column("class_1")), pc.is_valid(batch.column("label"))))
    columns = []
    for name in COLUMNS[:2]:
        texts = read.column(name).dictionary_encode()
        own = [numbers.setdefault(class_name(text), len(numbers)) for text in texts.dictionary.to_pylist()]
        columns.append(np.array(own, np.int32)[texts.indices.to_numpy()])
    return columns[0], columns[1], read.column("score_1").to_numpy().astype(np.float32)
