"""Video-level accuracy."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vidsemi.engine.score import VideoScore


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


def accuracy(scores: Iterable[VideoScore], labels: np.ndarray) -> Accuracy:
    """Accuracy of video scores.

    Args:
        scores: one for each example of the manifest, in any order.
        labels: (N,) class index of each example id.
    """
    ranks = np.full(len(labels), np.iinfo(np.int64).max)
    read = 0
    for score in scores:
        if score.probabilities is not None:
            ranks[score.example_id] = rank_of_label(score.probabilities, int(labels[score.example_id]))
            read += 1
    right = ranks < 1
    by_class = [right[labels == label].mean() for label in np.unique(labels)]
    return Accuracy(
        top1=100 * float(right.mean()),
        top5=100 * float((ranks < 5).mean()),
        mean_class_top1=100 * float(np.mean(by_class)),
        read=read,
        total=len(labels),
    )
