"""Video-level accuracy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vidsemi.inference.score_views import VideoScore

NOT_READ = np.iinfo(np.int64).max  # a rank that is wrong, however many classes there are


@dataclass(frozen=True)
class Accuracy:
    """Percentages over *all* examples of the manifest; one that cannot be read counts as wrong.

    Attributes:
        top1: the label is the best class.
        top5: the label is among the five best.
        mean_class_top1: top1 within each class, averaged over the classes that occur.
        read: examples that could be read.
        total: examples.
    """

    top1: float
    top5: float
    mean_class_top1: float
    read: int
    total: int


def rank_of_label(probabilities: np.ndarray, label: int) -> int:
    """How many classes come before the label: higher scores, and equal ones of a smaller class index."""
    own = probabilities[label]
    return int((probabilities > own).sum() + (probabilities[:label] == own).sum())


def ranks_of_labels(scores: Iterable[VideoScore], labels: np.ndarray) -> dict[int, int | None]:
    """The rank of each scored example's label, by example id; None if the example cannot be read.

    Args:
        scores: of some examples of the manifest, in any order.
        labels: (N,) class index of each example id.
    """
    ranks: dict[int, int | None] = {}
    for score in scores:
        own, label = score.probabilities, int(labels[score.example_id])
        ranks[score.example_id] = None if own is None else rank_of_label(own, label)
    return ranks


def accuracy(rank_of: Mapping[int, int | None], labels: np.ndarray) -> Accuracy:
    """Accuracy of a network.

    Args:
        rank_of: of every example of the manifest, as `ranks_of_labels` gives them.
        labels: (N,) class index of each example id.
    """
    ranks = np.full(len(labels), NOT_READ)
    for example_id, rank in rank_of.items():
        ranks[example_id] = NOT_READ if rank is None else rank
    right = ranks < 1
    by_class = [right[labels == label].mean() for label in np.unique(labels)]
    return Accuracy(
        top1=100 * float(right.mean()),
        top5=100 * float((ranks < 5).mean()),
        mean_class_top1=100 * float(np.mean(by_class)),
        read=int((ranks < NOT_READ).sum()),
        total=len(labels),
    )
