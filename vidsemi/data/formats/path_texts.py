"""Paths of very many files in little memory."""

import os
import zlib
from collections.abc import Iterable, Iterator

BLOCK = 1 << 12  # paths that are compressed together


class PathTexts:
    """Paths in the order in which they are added, compressed: those of one folder take about 10 bytes each."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._blocks: list[bytes] = []
        self._last: list[str] = []
        for path in paths:
            self.append(path)

    def append(self, path: str) -> None:
        """Add a path; it may have names that are not UTF-8."""
        self._last.append(path)
        if len(self._last) == BLOCK:
            self._blocks.append(zlib.compress(os.fsencode("\0".join(self._last)), 1))
            self._last = []

    def __len__(self) -> int:
        return BLOCK * len(self._blocks) + len(self._last)

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[str]]:
        """The paths, several thousand at a time."""
        for block in self._blocks:
            yield os.fsdecode(zlib.decompress(block)).split("\0")
        if self._last:
            yield list(self._last)
