"""How many pseudo-labels are true, by class and rank: for studies in which the true labels are known."""

from dataclasses import dataclass

import numpy as np

BINS = 20  # of the ranks of a class


@dataclass(frozen=True)
class PrecisionByRank:
    """Counts of selected examples by class and bin of ranks; each array is (classes, bins) int64.

    Attributes:
        edges: (bins + 1,) int64; bin b has the ranks from `edges[b]` on, below `edges[b + 1]`.
        selected: examples that were selected.
        known: those whose true label is known.
        right: those whose true label is the class that selected them.
    """

    edges: np.ndarray
    selected: np.ndarray
    known: np.ndarray
    right: np.ndarray


def precision_by_rank(
    label: np.ndarray, rank: np.ndarray, truth: np.ndarray, known: np.ndarray, *, classes: int, ranks: int
) -> PrecisionByRank:
    """Count the right pseudo-labels of each class and bin of ranks.

    Args:
        label: (R,) class that selected an example.
        rank: (R,) its rank within the class, 0 for the highest score.
        truth: (R,) its true class; negative if it is none of the classes.
        known: (R,) bool, whether its true label is known.
        classes: number of classes.
        ranks: of a class, at most: K in the paper.
    """
    bins = min(BINS, ranks)
    edges = np.arange(bins + 1) * ranks // bins
    place = label.astype(np.int64) * bins + np.searchsorted(edges, rank, side="right") - 1

    def count(rows: np.ndarray) -> np.ndarray:
        return np.bincount(place[rows], minlength=classes * bins).reshape(classes, bins)

    return PrecisionByRank(edges, count(np.ones(len(label), bool)), count(known), count(known & (label == truth)))
