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
    """Rows of a shard, in order; floats are viewed as int32 because non-negative floats are ordered like their bits."""

    example_id: np.ndarray  # (R,) int64
    label: np.ndarray  # (R,) int16 or int32
    score: np.ndarray  # (R,) float32 as int32
    value: np.ndarray  # (R,) float32 as int32, by which a class ranks its rows; the score itself in most policies


class Limits(NamedTuple):
    """What rows must satisfy, and what makes one a candidate."""

    max_id: int  # highest valid example id
    max_score: int  # highest valid score, float32 as int32
    stored: int  # most rows an example may have
    per_example: int  # P; the first P rows of an example are candidates
    min_score: int  # lowest score of a candidate, float32 as int32


class ShardState(NamedTuple):
    """What the filter carries from one batch of a shard to the next; batches may be cut anywhere."""

    last: np.ndarray  # [example id, sort key, rank within the example] of the last row
    last_example: np.ndarray  # (classes,) int64, the last example of each class, or -1


class Buffers(NamedTuple):
    """The buffers of all classes in one array."""

    packed: np.ndarray  # int64 rows, each class's in a section of its own
    filled: np.ndarray  # (classes,) where the next row of each class goes
    ends: np.ndarray  # (classes,) where the section of each class ends
    least_key: np.ndarray  # (classes,) a row must have a greater key than this
    id_bits: int  # bits of a packed row that hold the example id


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

    Updates `state`, adds to the (classes,) int64 counts `candidates`, and puts the numbers of the rows that remain into
    the (R,) int32 `kept`. `least_value` holds (classes,) int32 thresholds.

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
    """Pack the rows `kept[begin:]` into the buffers of their classes until one is full.

    Returns the position in `kept` to continue from. The row before it filled its class, if any did.
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
