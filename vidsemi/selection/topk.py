"""The best rows of every class out of a stream of any length, in memory that depends on K and the classes alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.selection.kernels import store
from vidsemi.selection.keys import ID_BITS, pack, unpack_id, unpack_score
from vidsemi.selection.score_files import WIDE_LABELS_FROM

Priority = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (example ids, labels) → float32 in [0, 1]
LEAST_SPARE = 256  # rows; a class that takes few would be cut again and again
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Rows:
    """Score rows as columns of one length: example ids int64, class indices int16 or int32, scores float32."""

    example_id: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.score)


class TopPerClass:
    """Keeps the `capacity[c]` best rows of class c.

    A class has room for half as many again. When that is full, it is cut to its best, the worst of which becomes its
    threshold: what cannot be better is dropped from then on, which in a long stream is nearly everything. What is left
    at the end is a function of the set of rows; neither their order nor the moment of a cut changes it.

    Args:
        capacity: (classes,) rows that each class takes.
        most: rows that a class can have in the whole stream; no room is made for more.
        priority: by what a class prefers one row to another; the score if None. Ties fall to the smaller example id.
    """

    def __init__(self, capacity: np.ndarray, most: int, priority: Priority | None = None):
        self.capacity, self.most, self.priority = capacity, most, priority
        widths = np.minimum(capacity + np.maximum(capacity // 2, LEAST_SPARE), most + 1)
        widths[capacity == 0] = 0
        self._ends = np.cumsum(widths)
        self._starts = self._ends - widths
        self._filled = self._starts.copy()
        try:
            self._room = np.empty(widths.sum(), np.int64)  # packed scores and ids; memory is used as it fills
        except MemoryError:
            size = f"{8 * widths.sum() / 2**30:.0f} GiB"
            raise UserError(f"K = {capacity.max()} rows of {len(capacity)} classes take {size}; choose less") from None
        self._least_key = np.where(capacity > 0, -1, NEVER)  # a row of class c must have a greater key than this
        self.least_value = np.where(capacity > 0, 0, 2).astype(np.float32)  # the same, without regard to ids

    def value(self, rows: Rows) -> np.ndarray:
        """What rows are ranked by, float32. One below its class's `least_value` is not among the best."""
        return rows.score if self.priority is None else self.priority(rows.example_id, rows.label)

    def add(self, rows: Rows, value: np.ndarray | None = None, near: np.ndarray | None = None) -> None:
        """Take those of the rows that may be among the best.

        Args:
            rows: any.
            value: their values, where they are known already.
            near: numbers of the rows that are in question, int32; all if None.
        """
        value = self.value(rows) if value is None else value
        near = np.arange(len(rows), dtype=np.int32) if near is None else near
        score_bits, value_bits = rows.score.view(np.int32), value.view(np.int32)
        done = 0
        while done < len(near):
            done = store(
                rows.example_id,
                rows.label,
                score_bits,
                value_bits,
                near,
                done,
                self._least_key,
                self._room,
                self._filled,
                self._ends,
                ID_BITS,
            )
            label = rows.label[near[done - 1]]
            if self._filled[label] == self._ends[label]:
                if self._filled[label] - self._starts[label] > self.most:
                    raise UserError(
                        f"class number {label} has rows of more than the {self.most} examples that there are"
                    )
                self._cut(label)

    def best(self) -> Rows:
        """All that is kept, by label, then best first. Gives the room back: it can be asked for once."""
        for label in np.flatnonzero(self._filled - self._starts > self.capacity).tolist():
            self._cut(label)
        counts = self._filled - self._starts
        example_id, score = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.float32)
        end = 0
        for label in np.flatnonzero(counts).tolist():
            packed = self._room[self._starts[label] : self._filled[label]]
            if self.priority is None:
                packed = np.sort(packed)[::-1]
            else:
                packed = packed[np.argsort(self._keys(label, packed))[::-1]]
            begin, end = end, end + len(packed)
            example_id[begin:end], score[begin:end] = unpack_id(packed), unpack_score(packed)
        self._room = np.empty(0, np.int64)
        label_type = np.int16 if len(counts) < WIDE_LABELS_FROM else np.int32
        return Rows(example_id, np.repeat(np.arange(len(counts), dtype=label_type), counts), score)

    def _cut(self, label: int) -> None:
        """Keep the best of a class that has more than its capacity, and raise its threshold."""
        start, kept = self._starts[label], self.capacity[label]
        packed = self._room[start : self._filled[label]]
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
        self._filled[label] = start + kept
        self._least_key[label] = least
        self.least_value[label] = unpack_score(least[None])[0]

    def _keys(self, label: int, packed: np.ndarray) -> np.ndarray:
        """What rows of one class are compared by."""
        if self.priority is None:
            return packed
        example_id = unpack_id(packed)
        return pack(self.priority(example_id, np.full(1, label)), example_id)
