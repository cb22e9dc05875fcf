"""Accuracy by class, and the table of it that an evaluation leaves in its folder."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text
from vidsemi.io.spreadsheet import original, plain_cell


@dataclass(frozen=True)
class ClassAccuracy:
    """How well a class is recognized; a test example that cannot be read counts as wrong.

    Attributes:
        label: the class's name.
        labeled: its examples in D; None where D is not known.
        test: its examples in the test set.
        read: those of them that could be read.
        top1: percent of the test examples whose best class it is; None without any.
        top5: percent that have it among their five best classes; likewise.
    """

    label: str
    labeled: int | None
    test: int
    read: int
    top1: float | None
    top5: float | None


COLUMNS = [field.name for field in fields(ClassAccuracy)]


def accuracy_by_class(
    rank_of: Mapping[int, int | None],
    labels: Sequence[int],
    classes: Sequence[str],
    labeled: Mapping[str, int] | None = None,
) -> list[ClassAccuracy]:
    """The accuracy of each class, in class order.

    Args:
        rank_of: of every test example, as `ranks_of_labels` gives them.
        labels: (N,) class index of each test example.
        classes: names.
        labeled: examples in D by class name; a class that is not in it has none.
    """
    ranks: list[list[int | None]] = [[] for _ in classes]
    for example_id, label in enumerate(labels):
        ranks[label].append(rank_of.get(example_id))
    return [
        ClassAccuracy(
            label=name,
            labeled=None if labeled is None else labeled.get(name, 0),
            test=len(own),
            read=sum(rank is not None for rank in own),
            top1=_percent_before(own, 1),
            top5=_percent_before(own, 5),
        )
        for name, own in zip(classes, ranks, strict=True)
    ]


def _percent_before(ranks: Sequence[int | None], end: int) -> float | None:
    return 100 * sum(rank is not None and rank < end for rank in ranks) / len(ranks) if ranks else None


def write_class_accuracy(file: Path, rows: Sequence[ClassAccuracy]) -> None:
    """Write the accuracies as CSV, a line a class; an empty cell is no value, and no name is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        name, *figures = astuple(row)
        writer.writerow([plain_cell(name), *figures])
    write_text(file, text.getvalue())


def read_class_accuracy(file: Path) -> list[ClassAccuracy]:
    """Read what `write_class_accuracy` wrote.

    Raises:
        UserError: the file is not there or not of that form.
    """
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames != COLUMNS:
                raise ValueError("it has other columns")
            return [
                ClassAccuracy(
                    label=original(row["label"]),
                    labeled=int(row["labeled"]) if row["labeled"] else None,
                    test=int(row["test"]),
                    read=int(row["read"]),
                    top1=float(row["top1"]) if row["top1"] else None,
                    top5=float(row["top5"]) if row["top5"] else None,
                )
                for row in reader
            ]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, csv.Error):
        raise UserError(f"{file} is no table of classes: it needs the columns {', '.join(COLUMNS)}") from None
