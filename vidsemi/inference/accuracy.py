"""Video-level accuracy, overall and per class, and the CSV table of classes that an evaluation writes."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text
from vidsemi.io.tables import csv_text, from_csv_cell

UNREADABLE = np.iinfo(np.int64).max  # a rank that is wrong, however many classes there are


@dataclass(frozen=True)
class Accuracy:
    """Percentages over *all* examples of the manifest; an unreadable one counts as wrong."""

    top1: float
    top5: float
    mean_class_top1: float  # top1 within each class, averaged over the classes that occur
    read: int  # readable examples
    total: int


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy of one class in percent; an unreadable test example counts as wrong."""

    label: str
    labeled: int | None  # its examples in the labeled set; None if that set is not known
    test: int  # its test examples
    read: int  # the readable ones
    top1: float | None  # None without test examples, like top5
    top5: float | None


COLUMNS = [field.name for field in fields(ClassAccuracy)]


def rank_of_label(scores: np.ndarray, label: int) -> int:
    """Return how many of an example's (classes,) scores rank before its label; ties go to the smaller class index."""
    own = scores[label]
    return int((scores > own).sum() + (scores[:label] == own).sum())


def accuracy(ranks: Mapping[int, int | None] | np.ndarray, labels: np.ndarray) -> Accuracy:
    """Compute accuracy over a manifest from the rank of every example's label.

    Args:
        ranks: by example ids, or (N,) int64; None or `UNREADABLE` where an example is unreadable.
        labels: (N,) class indices.
    """
    rank = _as_array(ranks, len(labels))
    correct = rank < 1
    counts = np.bincount(labels)
    occurs = counts > 0
    by_class = np.bincount(labels[correct], minlength=len(counts))[occurs] / counts[occurs]
    return Accuracy(
        top1=100 * float(correct.mean()),
        top5=100 * float((rank < 5).mean()),
        mean_class_top1=100 * float(np.mean(by_class)),
        read=int((rank < UNREADABLE).sum()),
        total=len(labels),
    )


def _as_array(ranks: Mapping[int, int | None] | np.ndarray, count: int) -> np.ndarray:
    if isinstance(ranks, np.ndarray):
        return ranks
    rank = np.full(count, UNREADABLE)
    for example_id, own in ranks.items():
        rank[example_id] = UNREADABLE if own is None else own
    return rank


def accuracy_by_class(
    ranks: Mapping[int, int | None] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    labeled: Mapping[str, int] | None = None,
) -> list[ClassAccuracy]:
    """Compute the accuracy of each class, in class order, from the same ranks and the labeled set's class counts."""
    rank, of = _as_array(ranks, len(labels)), np.asarray(labels, np.int64)
    subsets = (of, of[rank < UNREADABLE], of[rank < 1], of[rank < 5])
    counts = np.stack([np.bincount(own, minlength=len(classes)) for own in subsets], axis=1).tolist()
    return [
        ClassAccuracy(
            label=name,
            labeled=None if labeled is None else labeled.get(name, 0),
            test=test,
            read=read,
            top1=100 * first / test if test else None,
            top5=100 * five / test if test else None,
        )
        for name, (test, read, first, five) in zip(classes, counts, strict=True)
    ]


def write_class_accuracy(file: Path, rows: Sequence[ClassAccuracy]) -> None:
    """Write one CSV line per class; None is an empty cell, and no class name can act as a spreadsheet formula."""
    write_text(file, csv_text([asdict(row) for row in rows]))


def read_class_accuracy(file: Path) -> list[ClassAccuracy]:
    """Read a file by `write_class_accuracy`."""
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames != COLUMNS:
                raise ValueError("other columns")
            return [
                ClassAccuracy(
                    label=from_csv_cell(row["label"]),
                    labeled=int(row["labeled"]) if row["labeled"] else None,
                    test=int(row["test"]),
                    read=int(row["read"]),
                    top1=float(row["top1"]) if row["top1"] else None,
                    top5=float(row["top5"]) if row["top5"] else None,
                )
                for row in reader
            ]
    except OSError as error:
        raise UserError("class_accuracy.unreadable", f"{file} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, csv.Error):
        columns = ", ".join(COLUMNS)
        raise UserError("class_accuracy.wrong_format", f"{file} must be a CSV with the columns {columns}") from None
