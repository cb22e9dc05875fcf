"""Series of images whose names differ in a running number: most likely the frames of a video."""

import os
from collections.abc import Iterable

FEWEST = 3  # images of a series
STEADY = 0.9  # of the steps of its numbers are equal
DIGITS = 18  # of a number at most


def series_lengths(names: Iterable[str]) -> list[int]:
    """The lengths of the series among the names of images in a folder, in the order in which they begin.

    >>> series_lengths(["a1.jpg", "a2.jpg", "a3.png", "b.jpg", "c7.jpg"])
    [3]
    """
    import numpy as np

    prefixes, numbers = [], []
    for name in names:
        stem = os.path.splitext(name)[0]
        prefix = stem.rstrip("0123456789")
        if len(stem) > len(prefix):
            prefix = stem[: max(len(prefix), len(stem) - DIGITS)]
            prefixes.append(hash(prefix))  # ten million prefixes take 1 GB
            numbers.append(int(stem[len(prefix) :]))
    if len(prefixes) < FEWEST:
        return []
    values = np.array(numbers, np.int64)
    _, first, group, counts = np.unique(
        np.array(prefixes, np.int64), return_index=True, return_inverse=True, return_counts=True
    )
    ends = np.cumsum(counts)
    members = np.argsort(group, kind="stable")
    found = {}
    for number in np.flatnonzero(counts >= FEWEST).tolist():
        distinct = np.unique(values[members[ends[number] - counts[number] : ends[number]]])
        if len(distinct) >= FEWEST:
            _, steps = np.unique(np.diff(distinct), return_counts=True)
            if steps.max() >= STEADY * steps.sum():
                found[int(first[number])] = len(distinct)
    return [found[place] for place in sorted(found)]
