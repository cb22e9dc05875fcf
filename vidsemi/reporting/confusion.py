"""Which classes the best student of a run takes for which others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidsemi.reporting.accuracy_plot import approach_name
from vidsemi.reporting.plot import HeatMap, Panel, Plot, Scale
from vidsemi.reporting.predictions import StoredPredictions, read_predictions
from vidsemi.reporting.results import RunResults, best_rows, student_of
from vidsemi.reporting.section import Section, Table

HEADER = ("true class", "predicted class", "examples", "of the true class")
MOST_PAIRS = 20  # in the table
MOST_CLASSES = 40  # in the heat map; more names are unreadable
FOLD = "Confusion matrix of the most confused classes"
MOST_TEXTS = 15  # classes up to which the cells have room for their numbers
CELL, MARGIN, SMALLEST = 17, 170, 300  # of the heat map in the page, pixels


@dataclass(frozen=True)
class Confusion:
    """Numbers of test examples by true and predicted class, without the pairs that do not occur.

    Attributes:
        classes: names of the classes.
        truth: (pairs,) index of the true class.
        predicted: (pairs,) index of the predicted class.
        count: (pairs,) examples.
        total: (classes,) readable examples of each true class.
    """

    classes: Sequence[str]
    truth: np.ndarray
    predicted: np.ndarray
    count: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, predictions: StoredPredictions) -> "Confusion":
        """Count the pairs."""
        size = len(predictions.classes)
        pairs, count = np.unique(predictions.truth.astype(np.int64) * size + predictions.predicted, return_counts=True)
        total = np.bincount(predictions.truth, minlength=size)
        return cls(predictions.classes, pairs // size, pairs % size, count, total)

    def most_confused(self) -> np.ndarray:
        """Places of the pairs with two classes: those with most examples first, then the larger share of the class."""
        places = np.flatnonzero(self.truth != self.predicted)
        share = self.count[places] / self.total[self.truth[places]]
        return places[np.lexsort((-share, -self.count[places]))]

    def matrix(self, classes: Sequence[int]) -> np.ndarray:
        """(n, n) int64 numbers of examples of some classes: true × predicted."""
        place = np.full(len(self.classes), -1)
        place[[*classes]] = np.arange(len(classes))
        rows, columns = place[self.truth], place[self.predicted]
        inside = (rows >= 0) & (columns >= 0)
        matrix = np.zeros((len(classes), len(classes)), np.int64)
        matrix[rows[inside], columns[inside]] = self.count[inside]
        return matrix


def confusion_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run with stored predictions of its best student, and with two classes or more."""
    sections = []
    for run in runs:
        rows = best_rows(run)
        predictions = read_predictions(rows, run.folder)
        if predictions and len(predictions.classes) > 1:
            title = f"Confused classes{f', {run.name}' if len(runs) > 1 else ''}"
            who = f"{student_of(rows[0])}, {approach_name(rows[0]['approach'])}"
            sections.append(_section(title, who, len(rows), predictions))
    return sections


def _section(title: str, who: str, seeds: int, predictions: StoredPredictions) -> Section:
    confusion = Confusion.of(predictions)
    most = confusion.most_confused()
    rows = [
        (
            confusion.classes[confusion.truth[place]],
            confusion.classes[confusion.predicted[place]],
            f"{confusion.count[place]:,}",
            f"{100 * confusion.count[place] / confusion.total[confusion.truth[place]]:.1f}%",
        )
        for place in most[:MOST_PAIRS]
    ]
    shown = _shown(confusion, most)
    notes = [f"Test examples of {who}{f', {seeds} seeds together' if seeds > 1 else ''}: true against predicted class."]
    if len(shown) < len(confusion.classes):
        notes.append(
            f"The heat map has the {len(shown)} of {len(confusion.classes)} classes that are confused most, those that "
            "are taken for one another side by side."
        )
    if predictions.unread:
        notes.append(f"{predictions.unread} examples that could not be read are left out.")
    tables = [Table(HEADER, rows, text_columns=2)] if rows else []
    if not rows:
        notes.append("No two classes are confused.")
    return Section(title, plots=[_plot(confusion, shown)], tables=tables, text=notes)


def _shown(confusion: Confusion, most: np.ndarray) -> list[int]:
    """The classes in the heat map: all, or those of the most confused pairs with similar ones side by side."""
    if len(confusion.classes) <= MOST_CLASSES:
        return [*range(len(confusion.classes))]
    chosen: dict[int, None] = {}
    for place in most:
        pair = {int(confusion.truth[place]): None, int(confusion.predicted[place]): None}
        if len(chosen | pair) > MOST_CLASSES:
            break
        chosen |= pair
    return _side_by_side(confusion, [*chosen])


def _side_by_side(confusion: Confusion, classes: Sequence[int]) -> list[int]:
    """Classes in the order of a hierarchical clustering by how often they are confused."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(classes) < 3:
        return [*classes]
    share = confusion.matrix(classes) / np.maximum(confusion.total[[*classes]], 1)[:, None]
    distance = 1 - np.minimum(1, share + share.T)
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform(distance, checks=False), "average"))
    return [classes[place] for place in order]


def _plot(confusion: Confusion, shown: Sequence[int]) -> Plot:
    matrix, total = confusion.matrix(shown), confusion.total[[*shown]]
    share = 100 * matrix / np.maximum(total, 1)[:, None]
    names = [confusion.classes[place] for place in shown]
    hover = [
        [
            f"true: {true}\npredicted: {predicted}\n{matrix[y, x]:,} of {total[y]:,} ({share[y, x]:.1f}%)"
            for x, predicted in enumerate(names)
        ]
        for y, true in enumerate(names)
    ]
    texts = [[f"{count:,}" if count else "" for count in row] for row in matrix.tolist()]
    heat = HeatMap(names, names, share.tolist(), hover, texts if len(names) <= MOST_TEXTS else ())
    panel = Panel(Scale("predicted class"), Scale("true class"), heat=heat)
    height = max(SMALLEST, MARGIN + CELL * len(names) + (8 * len(names) if heat.texts else 0))
    fold = FOLD if len(shown) < len(confusion.classes) else ""  # the pairs first
    alt = "confusion matrix: share of the true class's examples by predicted class"
    return Plot(alt, [panel], height=height, fold=fold)
