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


def accuracy(ranks: Mapping[int, int | None], labels: np.ndarray) -> Accuracy:
    """Compute accuracy over a manifest from the rank of every example's label, None where it is unreadable."""
    rank = np.full(len(labels), UNREADABLE)
    for example_id, own in ranks.items():
        rank[example_id] = UNREADABLE if own is None else own
    correct = rank < 1
    by_class = [correct[labels == label].mean() for label in np.unique(labels)]
    return Accuracy(
        top1=100 * float(correct.mean()),
        top5=100 * float((rank < 5).mean()),
        mean_class_top1=100 * float(np.mean(by_class)),
        read=int((rank < UNREADABLE).sum()),
        total=len(labels),
    )


def accuracy_by_class(
    ranks: Mapping[int, int | None],
    labels: Sequence[int],
    classes: Sequence[str],
    labeled: Mapping[str, int] | None = None,
) -> list[ClassAccuracy]:
    """Compute the accuracy of each class, in class order, from the same ranks and the labeled set's class counts."""
    by_class: list[list[int | None]] = [[] for _ in classes]
    for example_id, label in enumerate(labels):
        by_class[label].append(ranks.get(example_id))
    return [
        ClassAccuracy(
            label=name,
            labeled=None if labeled is None else labeled.get(name, 0),
            test=len(own),
            read=sum(rank is not None for rank in own),
            top1=100 * sum(rank is not None and rank < 1 for rank in own) / len(own) if own else None,
            top5=100 * sum(rank is not None and rank < 5 for rank in own) / len(own) if own else None,
        )
        for name, own in zip(classes, by_class, strict=True)
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
