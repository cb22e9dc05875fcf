"""By which rule D̂ is chosen: the paper's method and what its Table 5 holds against it, one function each.

A policy is given `scan`, which offers every candidate of U to a `TopPerClass`, the rows that each class is to take, and
the most rows that a class can have.
"""

from collections.abc import Callable

import numpy as np

from vidsemi.selection.scan import Tally
from vidsemi.selection.topk import Priority, Rows, TopPerClass

Scan = Callable[[TopPerClass], Tally]
Chosen = tuple[TopPerClass, Tally]
POLICIES = ("balanced_ranked", "unbalanced_ranked", "balanced_with_tags", "random")


def balanced_ranked(scan: Scan, wanted: np.ndarray, most: int) -> Chosen:
    """The method: each class takes the K candidates with the highest scores."""
    top = TopPerClass(wanted, most)
    return top, scan(top)


def unbalanced_ranked(scan: Scan, wanted: np.ndarray, most: int) -> Chosen:
    """Ranked alike, but classes take as many rows as a Zipf law gives them, of the same total.

    Two passes: the first counts the candidates, which say how frequent a class is.
    """
    counted = scan(TopPerClass(np.zeros_like(wanted), most))
    top = TopPerClass(zipf_counts(counted.candidates, int(wanted.sum())), most)
    return top, scan(top)


def random(scan: Scan, wanted: np.ndarray, most: int, seed: int) -> Chosen:
    """Control: each class takes K of its candidates at random. What the ranking alone is worth."""
    top = TopPerClass(wanted, most, random_priority(seed))
    return top, scan(top)


def balanced_with_tags(tags: Rows, wanted: np.ndarray, most: int, seed: int) -> Chosen:
    """Each class takes K at random of the examples whose hashtags match it, with no regard to the teacher's scores."""
    top = TopPerClass(wanted, most, random_priority(seed))
    top.add(tags)
    counts = np.bincount(tags.label, minlength=len(wanted))
    return top, Tally(counts, rows_read=len(tags), scored=len(np.unique(tags.example_id)))


def zipf_counts(candidates: np.ndarray, total: int) -> np.ndarray:
    """Rows a class by Zipf's law: the class that is r-th in frequency takes a share proportional to 1/r.

    Args:
        candidates: (classes,) frequency of each class; ties fall to the smaller class index.
        total: what the counts add up to. Fractions are rounded down, and what is left goes to the largest of them.

    Returns:
        (classes,) int64.
    """
    share = 1 / np.arange(1, len(candidates) + 1)
    exact = total * share / share.sum()
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    by_class = np.empty_like(counts)
    by_class[np.argsort(-candidates, kind="stable")] = counts
    return by_class


def random_priority(seed: int) -> Priority:
    """Priorities that are a fixed function of seed, example and class, so that no order of rows changes a choice.

    They are the upper 24 bits of SplitMix64's finaliser, as a float32 in [0, 1).
    """
    start = np.array([seed * 0xD1342543DE82EF95 % 2**64], np.uint64)

    def priority(example_id: np.ndarray, label: np.ndarray) -> np.ndarray:
        z = start + example_id.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = z + label.astype(np.uint64) * np.uint64(0xA0761D6478BD642F)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        return (z >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)

    return priority
