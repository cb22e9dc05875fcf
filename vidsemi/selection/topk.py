"""The highest-ranked rows of every class of a stream of any length, in memory that depends only on K and the classes.

This is where K applies: a policy sets how many rows each class takes, `TopPerClass` keeps that many. P and the lowest
score apply before, in `scan`.

A score and its example id are packed into one int64, so that "higher score, then smaller id" is integer order:
non-negative floats are ordered like their bits, those of [0, 1] fit 30 bits, and 33 bits remain for the id. numpy
partitions and sorts int64 faster than anything else, and a kept row costs 8 bytes.
"""

from collections.abc import Callable

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.selection.kernels import Batch, Buffers, insert_rows
from vidsemi.selection.score_format import MAX_ID, WIDE_LABELS_FROM, ScoreRows

Priority = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (example ids, labels) → float32 in [0, 1]

ID_BITS = MAX_ID.bit_length()
MIN_SPARE = 256  # rows of spare room per class; with less, a class of small K would be cut again and again
NEVER = np.iinfo(np.int64).max


def pack(score: np.ndarray, example_id: np.ndarray) -> np.ndarray:
    """Pack float32 scores and int64 ids into int64 keys: a higher score, then a smaller id, makes a larger key."""
    keys: np.ndarray = (score.view(np.int32).astype(np.int64) << ID_BITS) | (MAX_ID - example_id)
    return keys


def unpack_score(key: np.ndarray) -> np.ndarray:
    """Return the float32 scores from packed keys."""
    return (key >> ID_BITS).astype(np.int32).view(np.float32)


def unpack_id(key: np.ndarray) -> np.ndarray:
    """Return the int64 example ids from packed keys."""
    return MAX_ID - (key & MAX_ID)


class TopPerClass:
    """Keeps the `capacity[c]` highest-ranked rows of class c.

    Each class has a buffer of 1.5 × its capacity. A full buffer is cut to the capacity, and the lowest row that stays
    becomes the threshold of its class: lower rows are dropped from then on, which in a long stream is nearly all of
    them. The result is a function of the set of rows; neither their order nor the moment of a cut changes it.

    Args:
        capacity: (classes,) rows that each class takes.
        most: most rows a class can have in the whole stream; no buffer is larger.
        priority: ranks the rows of a class; None ranks by score. Ties go to the smaller example id.
    """

    def __init__(self, capacity: np.ndarray, most: int, priority: Priority | None = None):
        self.capacity, self.most, self.priority = capacity, most, priority
        widths = np.minimum(capacity + np.maximum(capacity // 2, MIN_SPARE), most + 1)
        widths[capacity == 0] = 0
        ends = np.cumsum(widths)
        self._starts = ends - widths
        try:
            packed = np.empty(widths.sum(), np.int64)  # memory is used as it fills
        except MemoryError:
            size = f"{capacity.max()} rows for each of {len(capacity)} classes take {8 * widths.sum() / 2**30:.0f} GiB"
            raise UserError("select.out_of_memory", f"out of memory: {size}; lower per_class (K)") from None
        least_key = np.where(capacity > 0, -1, NEVER)
        self._buffers = Buffers(packed, self._starts.copy(), ends, least_key, ID_BITS)
        self.least_value = np.where(capacity > 0, 0, 2).astype(np.float32)  # as `least_key`, without the id

    def value(self, rows: ScoreRows) -> np.ndarray:
        """Return what rows are ranked by, float32. A row below `least_value` of its class cannot be kept."""
        return rows.score if self.priority is None else self.priority(rows.example_id, rows.label)

    def add(self, rows: ScoreRows, value: np.ndarray | None = None, numbers: np.ndarray | None = None) -> None:
        """Offer rows, or only those of the given int32 numbers; `value` is that of `self.value`, if known already."""
        value = self.value(rows) if value is None else value
        numbers = np.arange(len(rows), dtype=np.int32) if numbers is None else numbers
        batch = Batch(rows.example_id, rows.label, rows.score.view(np.int32), value.view(np.int32))
        filled, ends = self._buffers.filled, self._buffers.ends
        done = 0
        while done < len(numbers):
            done = insert_rows(batch, numbers, done, self._buffers)
            label = rows.label[numbers[done - 1]]
            if filled[label] == ends[label]:
                if filled[label] - self._starts[label] > self.most:
                    raise UserError(
                        "scores.too_many_examples",
                        f"class number {label} has rows of more than the {self.most} examples in the manifest",
                    )
                self._cut(label)

    def result(self) -> ScoreRows:
        """Return the kept rows by label, then rank. Frees the buffers: call it once."""
        packed, filled = self._buffers.packed, self._buffers.filled
        for label in np.flatnonzero(filled - self._starts > self.capacity).tolist():
            self._cut(label)
        counts = filled - self._starts
        example_id, score = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.float32)
        end = 0
        for label in np.flatnonzero(counts).tolist():
            own = packed[self._starts[label] : filled[label]]
            own = np.sort(own)[::-1] if self.priority is None else own[np.argsort(self._keys(label, own))[::-1]]
            begin, end = end, end + len(own)
            example_id[begin:end], score[begin:end] = unpack_id(own), unpack_score(own)
        del packed  # the rows are copied: free the buffers before the labels are made
        self._buffers = self._buffers._replace(packed=np.empty(0, np.int64))
        label_type = np.int16 if len(counts) < WIDE_LABELS_FROM else np.int32
        return ScoreRows(example_id, np.repeat(np.arange(len(counts), dtype=label_type), counts), score)

    def _cut(self, label: int) -> None:
        """Cut a class that has more rows than its capacity, and raise its threshold."""
        start, kept = self._starts[label], self.capacity[label]
        packed = self._buffers.packed[start : self._buffers.filled[label]]
        surplus = len(packed) - kept
        if self.priority is None:  # rows are their own keys
            packed.partition(surplus)
            least = packed[surplus]
            packed[:kept] = packed[surplus:].copy()
        else:
            key = self._keys(label, packed)
            order = np.argpartition(key, surplus)[surplus:]
            least = key[order[0]]
            packed[:kept] = packed[order]
        self._buffers.filled[label] = start + kept
        self._buffers.least_key[label] = least
        self.least_value[label] = unpack_score(least[None])[0]

    def _keys(self, label: int, packed: np.ndarray) -> np.ndarray:
        if self.priority is None:
            return packed
        example_id = unpack_id(packed)
        return pack(self.priority(example_id, np.full(1, label)), example_id)
