"""Predictions of any number of examples, in temporary files until all are known."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from vidsemi.data.dedup.record_file import RecordFile
from vidsemi.inference.predictions import Predicted
from vidsemi.inference.score_views import VideoScore
from vidsemi.runtime.distributed import gather, processes
from vidsemi.selection.score_writer import top_classes

Prediction = tuple[list[int], list[float], str | None]  # labels, scores, why the example cannot be read

PART = 1 << 20  # examples of a row group of the file, and in memory at once
MESSAGE = 1 << 16  # examples of which processes tell one another at once


class PredictionStore:
    """The highest-scoring classes of examples, one after the other.

    Args:
        folder: where the temporary files are; they have no names. None: that of temporary files.
        top: classes of each example.
    """

    def __init__(self, folder: Path | None, top: int):
        self.top = top
        kind = [("labels", np.int32, (top,)), ("scores", np.float32, (top,)), ("error", np.int64), ("size", np.int64)]
        self._records = RecordFile(folder, np.dtype(kind))
        self._errors = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 # as long as this object

    def __len__(self) -> int:
        return len(self._records)

    def __enter__(self) -> "PredictionStore":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._records.close()
        self._errors.close()

    def add(self, score: VideoScore) -> None:
        """Add the next example."""
        if score.probabilities is None:
            self._append([], [], score.error)
            return
        labels, scores = top_classes(score.probabilities[None], self.top)
        self._append(labels[0], scores[0], None)

    def add_of_processes(self, own: "PredictionStore", count: int) -> None:
        """Add the examples of all processes, of which each has every n-th one, on the first process.

        Args:
            own: those of this process.
            count: of all.
        """
        process = processes()
        for begin in range(0, -(-count // process.size), MESSAGE):
            told = gather(own.read(begin, begin + MESSAGE))
            for place in range(MESSAGE if process.first else 0):
                for predictions in told:
                    if place < len(predictions):
                        self._append(*predictions[place])

    def read(self, begin: int, end: int) -> list[Prediction]:
        """The predictions from `begin` to before `end`."""
        records = self._records.read(begin, end)
        columns = (records[name].tolist() for name in ("labels", "scores"))
        return [
            (labels, scores, None) if size < 0 else ([], [], self._error(place, size))
            for labels, scores, place, size in zip(
                *columns, records["error"].tolist(), records["size"].tolist(), strict=True
            )
        ]

    def parts(self) -> Iterator[Predicted]:
        """All predictions, as `write_predictions` takes them."""
        for begin in range(0, len(self), PART):
            records = self._records.read(begin, begin + PART)
            is_read = records["size"] < 0
            unread = np.flatnonzero(~is_read)
            errors = {begin + row: self._error(*records[["error", "size"]][row].tolist()) for row in unread.tolist()}
            yield Predicted(
                range(begin, begin + len(records)),
                begin + np.flatnonzero(is_read),
                records["labels"][is_read],
                records["scores"][is_read],
                errors,
            )

    def _append(self, labels: list[int] | np.ndarray, scores: list[float] | np.ndarray, error: str | None) -> None:
        record = np.zeros(1, self._records.dtype)
        record["size"] = -1
        if error is None:
            record["labels"], record["scores"] = labels, scores
        else:
            text = error.encode("utf-8", "surrogateescape")
            record["error"], record["size"] = self._errors.seek(0, 2), len(text)
            self._errors.write(text)
        self._records.append(record)

    def _error(self, place: int, size: int) -> str:
        self._errors.seek(place)
        return self._errors.read(size).decode("utf-8", "surrogateescape")
