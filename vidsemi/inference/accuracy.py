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
    """Percentages over *all* examples of the manifest; an unreadable one counts as wrong.

    Attributes:
        top1: the label is the highest-scoring class.
        top5: the label is among the five highest-scoring classes.
        mean_class_top1: top1 within each class, averaged over the classes that occur.
        read: number of readable examples.
        total: number of examples.
    """

    top1: float
    top5: float
    mean_class_top1: float
    read: int
    total: int


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy of one class; an unreadable test example counts as wrong.

    Attributes:
        label: class name.
        labeled: number of its examples in the labeled set; None if that set is not known.
        test: number of its test examples.
        read: number of its readable test examples.
        top1: percent of its test examples that are top-1 correct; None without test examples.
        top5: percent of its test examples that are top-5 correct; None without test examples.
    """

    label: str
    labeled: int | None
    test: int
    read: int
    top1: float | None
    top5: float | None


COLUMNS = [field.name for field in fields(ClassAccuracy)]


def rank_of_label(scores: np.ndarray, label: int) -> int:
    """Return how many classes rank before the label: higher scores first, ties by smaller class index.

    Args:
        scores: (classes,) of one example.
        label: its class index.
    """
    own = scores[label]
    return int((scores > own).sum() + (scores[:label] == own).sum())


def accuracy(ranks: Mapping[int, int | None], labels: np.ndarray) -> Accuracy:
    """Compute accuracy over a manifest.

    Args:
        ranks: of the label by example id, of every example; None for an unreadable one.
        labels: (N,) class index by example id.
    """
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
    """Compute the accuracy of each class, in class order.

    Args:
        ranks: of the label by example id, of every example; None for an unreadable one.
        labels: (N,) class index by example id.
        classes: names.
        labeled: size of the labeled set by class name; a class that is missing has no labeled example.
    """
    by_class: list[list[int | None]] = [[] for _ in classes]
    for example_id, label in enumerate(labels):
        by_class[label].append(ranks.get(example_id))
    return [
        ClassAccuracy(
            label=name,
            labeled=None if labeled is None else labeled.get(name, 0),
            test=len(own),
            read=sum(rank is not None for rank in own),
            top1=_percent_below(own, 1),
            top5=_percent_below(own, 5),
        )
        for name, own in zip(classes, by_class, strict=True)
    ]


def _percent_below(ranks: Sequence[int | None], end: int) -> float | None:
    return 100 * sum(rank is not None and rank < end for rank in ranks) / len(ranks) if ranks else None


def write_class_accuracy(file: Path, rows: Sequence[ClassAccuracy]) -> None:
    """Write one CSV line per class; None is an empty cell, and no class name can act as a spreadsheet formula."""
    write_text(file, csv_text([asdict(row) for row in rows]))


def read_class_accuracy(file: Path) -> list[ClassAccuracy]:
    """Read a file by `write_class_accuracy`.

    Raises:
        UserError: the file is missing or has another form.
    """
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
        raise UserError(
            "class_accuracy.wrong_format",
            f"{file} is not a table of class accuracies: it needs the columns {', '.join(COLUMNS)}",
        ) from None
