"""Sets of shards, as bits: each of thousands of workers has several, of tens of thousands of shards."""

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


class Numbers:
    """A set of numbers with the methods of `set` that `runtime/shard_worker` calls."""

    def __init__(self, bits: int = 0):
        self.bits = bits

    def __contains__(self, number: int) -> bool:
        return bool(self.bits >> number & 1)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __iter__(self) -> Iterator[int]:
        return iter(self.in_order())

    def __sub__(self, other: "Numbers") -> "Numbers":
        return Numbers(self.bits & ~other.bits)

    def __and__(self, other: "Numbers") -> "Numbers":
        return Numbers(self.bits & other.bits)

    def __ior__(self, other: Iterable[int]) -> "Numbers":
        self.bits |= bits_of(other)
        return self

    def __isub__(self, other: Iterable[int]) -> "Numbers":
        self.bits &= ~bits_of(other)
        return self

    def add(self, number: int) -> None:
        """As `set.add`."""
        self.bits |= 1 << number

    def discard(self, number: int) -> None:
        """As `set.discard`."""
        self.bits &= ~(1 << number)

    def copy(self) -> "Numbers":
        """As `set.copy`."""
        return Numbers(self.bits)

    def union(self, others: Iterable[int]) -> "Numbers":
        """As `set.union`."""
        return Numbers(self.bits | bits_of(others))

    def intersection(self, others: Iterable[int]) -> "Numbers":
        """As `set.intersection`."""
        return Numbers(self.bits & bits_of(others))

    def in_order(self) -> "array[int]":
        """The numbers, ascending, of which each takes four bytes."""
        content = np.frombuffer(self.bits.to_bytes(-(-self.bits.bit_length() // 8), "little"), np.uint8)
        return array("i", np.flatnonzero(np.unpackbits(content, bitorder="little")).astype(np.int32).tobytes())


def bits_of(numbers: Iterable[int]) -> int:
    """The bits of some numbers."""
    if isinstance(numbers, Numbers):
        return numbers.bits
    places: Any = np.asarray(numbers if isinstance(numbers, array) else list(numbers), np.int64)
    if not len(places):
        return 0
    flags = np.zeros(int(places.max()) + 1, np.uint8)
    flags[places] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")
