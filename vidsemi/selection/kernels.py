"""The two compiled loops over score rows: one checks, counts and filters every row, one inserts the few that remain.

In numpy the filter takes some twenty passes and 4 ns per row; compiled it takes 2 ns, without temporary arrays, and
without Python's lock, so that another thread reads the next shard meanwhile. It has no branch that depends on the data:
with `if`s it took 13 ns, because no processor predicts them.
"""

from typing import NamedTuple

import numpy as np

from vidsemi.runtime.compiled import compiled

# numba's cache is invalidated by a change of this file only, so the kernels must not use constants of another one.


class Batch(NamedTuple):
    """Rows of a shard, in order; floats are viewed as int32 because non-negative floats are ordered like their bits.

    Attributes:
        example_id: (R,) int64.
        label: (R,) int16 or int32.
        score: (R,) float32 as int32.
        value: (R,) float32 as int32, by which a class ranks its rows; the score itself in most policies.
    """

    example_id: np.ndarray
    label: np.ndarray
    score: np.ndarray
    value: np.ndarray


class Limits(NamedTuple):
    """What rows must satisfy, and what makes one a candidate.

    Attributes:
        max_id: highest valid example id.
        max_score: highest valid score, float32 as int32.
        stored: most rows an example may have.
        per_example: P; the first P rows of an example are candidates.
        min_score: lowest score of a candidate, float32 as int32.
    """

    max_id: int
    max_score: int
    stored: int
    per_example: int
    min_score: int


class ShardState(NamedTuple):
    """What the filter carries from one batch of a shard to the next; batches may be cut anywhere.

    Attributes:
        last: [example id, sort key, rank within the example] of the last row.
        last_example: (classes,) int64, the last example of each class, or -1.
    """

    last: np.ndarray
    last_example: np.ndarray


class Buffers(NamedTuple):
    """The buffers of all classes in one array.

    Attributes:
        packed: int64 rows, those of class c in a section that ends at `ends[c]`.
        filled: (classes,) where the next row of each class goes.
        ends: (classes,) where the section of each class ends.
        least_key: (classes,) a row must have a greater key than this.
        id_bits: bits of a packed row that hold the example id.
    """

    packed: np.ndarray
    filled: np.ndarray
    ends: np.ndarray
    least_key: np.ndarray
    id_bits: int


def shard_state(classes: int) -> ShardState:
    """Return the state before the first row of a shard."""
    return ShardState(np.array([-1, np.iinfo(np.int64).min, 0]), np.full(classes, -1))


def _filter_rows(
    batch: Batch,
    limits: Limits,
    state: ShardState,
    least_value: np.ndarray,
    candidates: np.ndarray,
    kept: np.ndarray,
) -> tuple[int, int, int]:
    """Check rows, count candidates, and find the candidates that reach the threshold of their class.

    Args:
        batch: the rows.
        limits: what they must satisfy.
        state: of the shard; updated.
        least_value: (classes,) int32 thresholds.
        candidates: (classes,) int64; counts are added.
        kept: (R,) int32; receives the numbers of the rows that remain.

    Returns:
        How many rows remain; how many examples begin in this batch; the first invalid row, or -1.
    """
    example_ids, labels, scores, values = batch
    max_id, max_score, stored, per_example, min_score = limits
    last, last_example = state
    last_id, last_place, rank = last[0], last[1], last[2]
    classes = len(least_value)
    num_kept = examples = 0
    for row in range(len(example_ids)):
        example, score, c = example_ids[row], scores[row], np.int64(labels[row])
        # within an example places fall: scores fall, and where they are equal labels rise
        place = (np.int64(score) << 32) - c
        same = example == last_id  # before the first row of a shard only of example -1, which is then invalid by place
        rank = rank + 1 if same else 0
        bad = (example < last_id) | (example > max_id)
        bad |= same & ((place >= last_place) | (rank >= stored))
        bad |= (score < 0) | (score > max_score) | (c < 0) | (c >= classes)
        if bad or last_example[c] == example:
            return num_kept, examples, row
        last_example[c] = example
        examples += not same
        candidate = (rank < per_example) & (score >= min_score)
        candidates[c] += candidate
        kept[num_kept] = row
        num_kept += candidate & (values[row] >= least_value[c])
        last_id, last_place = example, place
    last[0], last[1], last[2] = last_id, last_place, rank
    return num_kept, examples, -1


def _insert_rows(batch: Batch, kept: np.ndarray, begin: int, buffers: Buffers) -> int:
    """Pack rows into the buffers of their classes until one is full.

    Args:
        batch: the rows.
        kept: numbers of the rows to insert.
        begin: position in `kept` to start from.
        buffers: of all classes; `filled` and `packed` are updated.

    Returns:
        The position in `kept` to continue from. The row before it filled its class, if any did.
    """
    example_ids, labels, scores, values = batch
    packed, filled, ends, least_key, id_bits = buffers
    max_id = (1 << id_bits) - 1
    for position in range(begin, len(kept)):
        row = kept[position]
        c = labels[row]
        complement = max_id - example_ids[row]
        if (np.int64(values[row]) << id_bits) | complement > least_key[c]:
            packed[filled[c]] = (np.int64(scores[row]) << id_bits) | complement
            filled[c] += 1
            if filled[c] == ends[c]:
                return position + 1
    return len(kept)


filter_rows = compiled(_filter_rows, nogil=True)
insert_rows = compiled(_insert_rows, nogil=True)
