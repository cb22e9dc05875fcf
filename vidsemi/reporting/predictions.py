"""The predictions that evaluations stored, as arrays: what confusion and calibration are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.data.class_names import class_name

COLUMNS = ("label", "class_1", "score_1")


@dataclass(frozen=True)
class StoredPredictions:
    """Highest-scoring classes of the readable examples of a test set, of one network or of several seeds together.

    Attributes:
        classes: names of the classes that occur, as labels or as predictions, sorted.
        truth: (N,) int64 index into `classes`.
        predicted: (N,) int64 index into `classes`.
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
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    tables = []
    for row in rows:
        try:
            tables.append(pq.read_table(folder / str(row["predictions"]), columns=[*COLUMNS]))
        except (OSError, KeyError, pa.ArrowException):
            continue
    if not tables or any(table.column_names != [*COLUMNS] for table in tables):
        return None
    table = pa.concat_tables(tables)
    read = table.filter(pc.and_(pc.is_valid(table["class_1"]), pc.is_valid(table["label"])))
    names = [[class_name(text) for text in read[column].to_pylist()] for column in COLUMNS[:2]]
    classes, indices = np.unique(np.array([*names[0], *names[1]], dtype=object), return_inverse=True)
    truth, predicted = np.split(indices.astype(np.int64), 2)
    confidence = read["score_1"].to_numpy().astype(np.float32)
    return StoredPredictions(classes.tolist(), truth, predicted, confidence, len(table) - len(read))
