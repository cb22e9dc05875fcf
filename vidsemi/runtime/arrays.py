"""Array functions that numpy lacks, or has more slowly."""

import numpy as np


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values of a one-dimensional array, ascending.

    `np.unique` does the same, but by hashing from numpy 2.3 on: 1.6 million different integers take a second or more,
    where sorting takes 0.06.

    >>> distinct(np.array([3, 1, 3])).tolist(), distinct(np.array([], int)).tolist()
    ([1, 3], [])
    """
    ordered = np.sort(values)
    is_first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]
