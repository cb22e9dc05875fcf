"""Who teaches what to the student: pure functions of the scores (paper, section 3; contract 4.4)."""

import numpy as np


def rank_within(groups: np.ndarray) -> np.ndarray:
    """Position of each element within its run of equal neighbours: [4, 4, 7, 7, 7] → [0, 1, 0, 1, 2]."""
    if len(groups) == 0:
        return np.zeros(0, np.int64)
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    lengths = np.diff(np.r_[begins, len(groups)])
    return np.arange(len(groups)) - np.repeat(begins, lengths)


def balanced_ranked(
    example_id: np.ndarray, label: np.ndarray, score: np.ndarray, *, per_class: int, per_example: int
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's selection: each example keeps its P best classes, each class takes its K best examples.

    Ties fall to the smaller class index, then to the smaller example id, so the result does not depend on the order of
    the rows. A class with fewer than K candidates stays short.

    Args:
        example_id: (R,) int64.
        label: (R,) class indices.
        score: (R,) float32.
        per_class: K, at least 1.
        per_example: P, at least 1.

    Returns:
        Row numbers of the chosen, sorted by label, then rank; and the rank of each (0 is the surest).
    """
    by_example = np.lexsort((label, -score, example_id))
    kept = by_example[rank_within(example_id[by_example]) < per_example]
    by_class = kept[np.lexsort((example_id[kept], -score[kept], label[kept]))]
    rank = rank_within(label[by_class])
    return by_class[rank < per_class], rank[rank < per_class]
