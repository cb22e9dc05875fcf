"""The two loops over score rows, compiled: one checks and counts every row, one stores the few that are left.

As whole-array numpy the first takes some twenty passes and 4 ns a row; compiled it takes 2 ns, without temporary
arrays, and without Python's lock, so that another thread reads the next part meanwhile. It has no branches that depend
on the data: written with `if`s it took 13 ns, since no processor can guess them.
"""

import numba
import numpy as np

# Compiled code is kept as long as this file does not change, so it must not take constants from another one.


def beginning() -> np.ndarray:
    """What `sift` remembers of the row before the first one of a part."""
    return np.array([-1, 0, 0])


def _sift(
    example_id: np.ndarray,
    label: np.ndarray,
    score_bits: np.ndarray,
    value_bits: np.ndarray,
    before: np.ndarray,
    last_example: np.ndarray,
    stored: int,
    per_example: int,
    min_bits: int,
    max_bits: int,
    least_bits: np.ndarray,
    candidates: np.ndarray,
    near: np.ndarray,
) -> tuple[int, int, int]:
    """Check rows, count candidates, and find those that are not below their class's threshold.

    Non-negative floats are compared as the integers that their bits are. A part may be given in pieces, cut anywhere.

    Args:
        example_id: (R,) int64 not negative.
        label: (R,) int16 or int32.
        score_bits: (R,) float32 scores, seen as int32.
        value_bits: what rows of a class are ranked by, in the same form.
        before: id, place and rank in its example of the row before; set to those of the last row.
        last_example: (classes,) int64, the last example of each class, -1 at the beginning of a part; is kept up.
        stored: rows that an example may have.
        per_example: P: the first P rows of an example are candidates.
        min_bits: lowest score of a candidate.
        max_bits: highest score that a row may have.
        least_bits: (classes,) thresholds.
        candidates: (classes,) int64; counts are added.
        near: (R,) int32; gets the numbers of the rows that are left.

    Returns:
        How many are left; how many examples begin here; the first row that breaks the contract, or -1.
    """
    classes = len(least_bits)
    last_id, last_place, rank = before[0], before[1], before[2]
    left = examples = 0
    for row in range(len(example_id)):
        example, score, c = example_id[row], score_bits[row], np.int64(label[row])
        # within an example places fall: scores fall, and where they are equal labels rise
        place = (np.int64(score) << 32) - c
        same = example == last_id
        rank = rank + 1 if same else 0
        bad = (example < last_id) | (same & ((place >= last_place) | (rank >= stored)))
        bad |= (score < 0) | (score > max_bits) | (c < 0) | (c >= classes)
        if bad or last_example[c] == example:
            return left, examples, row
        last_example[c] = example
        examples += not same
        candidate = (rank < per_example) & (score >= min_bits)
        candidates[c] += candidate
        near[left] = row
        left += candidate & (value_bits[row] >= least_bits[c])
        last_id, last_place = example, place
    before[0], before[1], before[2] = last_id, last_place, rank
    return left, examples, -1


def _store(
    example_id: np.ndarray,
    label: np.ndarray,
    score_bits: np.ndarray,
    value_bits: np.ndarray,
    near: np.ndarray,
    begin: int,
    least_key: np.ndarray,
    room: np.ndarray,
    filled: np.ndarray,
    ends: np.ndarray,
    id_bits: int,
) -> int:
    """Pack rows into the room of their classes, until a class has no room left.

    Args:
        example_id: (R,) as above, and so the next three.
        label: (R,).
        score_bits: (R,).
        value_bits: (R,).
        near: numbers of the rows to store.
        begin: first of them.
        least_key: (classes,) a row must have a greater key.
        room: packed rows, those of class c from somewhere up to `filled[c]`.
        filled: (classes,) grows.
        ends: (classes,) where the room of each class ends.
        id_bits: bits of a packed row that are the example id's.

    Returns:
        How many of `near` are done.
    """
    max_id = (1 << id_bits) - 1
    for position in range(begin, len(near)):
        row = near[position]
        c = label[row]
        complement = max_id - example_id[row]
        key = (np.int64(value_bits[row]) << id_bits) | complement
        if key > least_key[c]:
            room[filled[c]] = (np.int64(score_bits[row]) << id_bits) | complement
            filled[c] += 1
            if filled[c] == ends[c]:
                return position + 1
    return len(near)


try:
    sift = numba.njit(nogil=True, cache=True)(_sift)
    store = numba.njit(nogil=True, cache=True)(_store)
except RuntimeError:  # no folder can keep compiled code: a second at the first call of each process
    sift = numba.njit(nogil=True)(_sift)
    store = numba.njit(nogil=True)(_store)
