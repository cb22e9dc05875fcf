"""Compare a selection with the true labels of the unlabeled set, where a study knows them."""

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.data.class_names import class_name
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text
from vidsemi.io.tables import csv_text, from_csv_cell
from vidsemi.pipeline.stage import Context, Stage
from vidsemi.pipeline.stages import SELECTION, SelectStage
from vidsemi.pipeline.true_labels import UNKNOWN, find_labels
from vidsemi.selection.precision import PrecisionByRank, precision_by_rank
from vidsemi.selection.result import Selection

logger = logging.getLogger("vidsemi")

PRECISION = "precision.csv"
NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class PrecisionStage(Stage):
    """Compare a selection with the true labels of the unlabeled set."""

    selection: SelectStage
    unlabeled: Manifest
    true_labels: Manifest

    def run(self, context: Context) -> dict[str, Any]:  # noqa: D102
        return measure_precision(
            context.folder(self) / PRECISION,
            selection=Selection.read(context.folder(self.selection) / SELECTION),
            unlabeled=self.unlabeled,
            true_labels=self.true_labels,
            title=context.name(self),
        )


@dataclass(frozen=True)
class ClassPrecision:
    """A row of precision.csv: a class and a range of ranks."""

    label: str
    first_rank: int
    last_rank: int
    selected: int
    known: int  # whose true label is known
    right: int


def measure_precision(
    file: Path, *, selection: Selection, unlabeled: Manifest, true_labels: Manifest, title: str
) -> dict[str, Any]:
    """Write the precision of a selection by class and rank to a CSV file.

    Args:
        file: to write.
        selection: of the unlabeled set.
        unlabeled: the unlabeled set.
        true_labels: its examples with their labels, in any order. A label that is not one of the classes, or an empty
            one, makes every pseudo-label wrong. Examples that are missing do not count.
        title: of the stage.

    Returns:
        Percentage of right pseudo-labels, None if no label is known, and the counts.

    Raises:
        UserError: `true_labels` knows none of the selected examples, or has two labels for one.
    """
    selection.check_manifest(unlabeled)
    truth, known = _truth(selection, unlabeled, true_labels)
    if len(selection) and not known.any():
        raise UserError(
            "precision.no_label",
            f"{true_labels.file} (data.unlabeled_labels) has none of the selected examples of {unlabeled.file}; its "
            "paths must be those of the unlabeled set",
        )
    classes = selection.classes
    counts = precision_by_rank(
        selection.label,
        selection.rank,
        truth,
        known,
        classes=len(classes),
        ranks=max(1, *selection.info.wanted_per_class),
    )
    write_text(file, csv_text([vars(row) for row in _rows(classes, counts)]))
    right, total = int(counts.right.sum()), int(counts.known.sum())
    precision = 100 * right / total if total else None
    if precision is not None:
        logger.info("%s: %.1f%% of %d pseudo-labels are right", title, precision, total)
    return {"precision": precision, "right": right, "known": total, "selected": len(selection)}


def _truth(selection: Selection, unlabeled: Manifest, true_labels: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """The true class of each selected row, or `NO_CLASS`, and whether it is known."""
    indices = {class_name(name): index for index, name in enumerate(selection.classes)}
    labels, names = find_labels(selection.example_id, unlabeled, true_labels)
    classes = np.array([*(indices.get(name, NO_CLASS) for name in names), NO_CLASS], np.int64)  # the last of `UNKNOWN`
    return classes[labels], labels != UNKNOWN


def true_classes(examples: np.ndarray, unlabeled: Manifest, true_labels: Manifest) -> list[str | None]:
    """The true label of some examples of the unlabeled set; empty for none of the classes, None if it is not known."""
    labels, names = find_labels(examples, unlabeled, true_labels)
    return [None if label == UNKNOWN else names[label] for label in labels.tolist()]


def _rows(classes: list[str], counts: PrecisionByRank) -> Iterator[ClassPrecision]:
    for index, label in enumerate(classes):
        for place, (first, after) in enumerate(zip(counts.edges[:-1], counts.edges[1:], strict=True)):
            own = (int(array[index, place]) for array in (counts.selected, counts.known, counts.right))
            yield ClassPrecision(label, int(first), int(after) - 1, *own)


def read_precision(file: Path) -> list[ClassPrecision]:
    """Read what `measure_precision` wrote.

    Raises:
        UserError: the file is damaged or not such a file.
    """
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            return [
                ClassPrecision(
                    from_csv_cell(row["label"]), *(int(row[name]) for name in list(ClassPrecision.__annotations__)[1:])
                )
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError("precision.unreadable", f"cannot read {file}: {error}") from None
