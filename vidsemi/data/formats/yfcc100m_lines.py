"""Which lines of YFCC100M have a file here: a compiled loop reads the ids of all, so that Python reads only those."""

from collections.abc import Iterable, Iterator

import numpy as np

from vidsemi.runtime.compiled import compiled

TAB, LINE_END, RETURN, ZERO, NINE, LETTER_A, LETTER_F = (ord(letter) for letter in "\t\n\r09af")
DIGITS, HEX_DIGITS = 18, 15  # that fit into 63 bits
HASH = 16  # digits that no id has
NONE = -1


def _number(data: np.ndarray, start: int, stop: int) -> int:
    """The number that a field is; -1 if it is another text, or has too many digits."""
    if not 0 < stop - start <= DIGITS:
        return NONE
    number = 0
    for place in range(start, stop):
        if data[place] < ZERO or data[place] > NINE:
            return NONE
        number = 10 * number + int(data[place]) - ZERO
    return number


def _hex_number(data: np.ndarray, start: int, stop: int) -> int:
    """The number that the first hexadecimal digits of a field are; -1 if it is another text, or has too few."""
    if stop - start < HEX_DIGITS:
        return NONE
    number = 0
    for place in range(start, start + HEX_DIGITS):
        digit = int(data[place]) - ZERO
        if data[place] >= LETTER_A and data[place] <= LETTER_F:
            digit = int(data[place]) - LETTER_A + 10
        elif data[place] < ZERO or data[place] > NINE:
            return NONE
        number = 16 * number + digit
    return number


_number = compiled(_number, nogil=True)
_hex_number = compiled(_hex_number, nogil=True)


def read_ids(data: np.ndarray, starts: np.ndarray, ids: np.ndarray, hashes: np.ndarray) -> None:
    """Read the ids of lines.

    Args:
        data: lines, each with its end, but perhaps the last one.
        starts: (N + 1,) where each line begins, and the last ends.
        ids: (N,) int64, receives the ids; -1 of lines that are not of YFCC100M, or of which Python must say so.
        hashes: (N,) int64, receives the first digits of the hashes in the lines; -1 of lines without one.
    """
    for line in range(len(ids)):
        ids[line] = hashes[line] = NONE
        start, stop = starts[line], starts[line + 1]
        while stop > start and (data[stop - 1] == LINE_END or data[stop - 1] == RETURN):
            stop -= 1
        columns, second, third, fourth, last = 1, stop, stop, stop, start
        for place in range(start, stop):
            if data[place] == TAB:
                columns += 1
                last = place + 1
                if columns == 2:
                    second = place + 1
                elif columns == 3:
                    third = place + 1
                elif columns == 4:
                    fourth = place + 1
        if stop - last != 1 or (data[last] != ZERO and data[last] != ZERO + 1):
            continue
        if columns == 25:
            ids[line] = _number(data, second, third - 1)
            hashes[line] = _hex_number(data, third, fourth - 1)
        elif columns == 23:
            ids[line] = _number(data, start, second - 1)
        elif columns == 24 and third - 1 - second < HASH:
            ids[line] = _number(data, second, third - 1)


read_ids = compiled(read_ids, nogil=True)


class Wanted:
    """Names of files: ids and hashes."""

    def __init__(self, names: Iterable[str], *, hashed: bool) -> None:
        ids, hashes = set[int](), set[int]()
        for name in names:
            if name.isascii() and name.isdecimal() and len(name) <= DIGITS:
                ids.add(int(name))
            if hashed and len(name) >= HEX_DIGITS and not set(name[:HEX_DIGITS]) - set("0123456789abcdef"):
                hashes.add(int(name[:HEX_DIGITS], 16))
        self._ids, self._hashes = (np.array(sorted(those), np.int64) for those in (ids, hashes))
        self._hashed = hashed

    def rows(self, block: bytes, first: int) -> tuple[Iterator[tuple[int, list[str]]], int]:
        """The lines that may have a file, or are perhaps broken.

        Args:
            block: whole lines.
            first: the number of the first of them.

        Returns:
            their numbers and columns, and how many lines are about other files.
        """
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == LINE_END) + 1
        starts = np.concatenate([[0], ends if block.endswith(b"\n") else [*ends, len(block)]])
        ids, hashes = np.empty((2, len(starts) - 1), np.int64)
        read_ids(data, starts, ids, hashes)
        maybe = (ids < 0) | _is_in(ids, self._ids)
        if self._hashed:
            maybe |= (hashes < 0) | _is_in(hashes, self._hashes)
        chosen = np.flatnonzero(maybe)
        lines = (block[starts[line] : starts[line + 1]].decode("utf-8", "surrogateescape") for line in chosen.tolist())
        columns = (line.rstrip("\r\n").split("\t") for line in lines)
        return zip((first + chosen).tolist(), columns, strict=True), len(maybe) - len(chosen)


def _is_in(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if not len(wanted):
        return np.zeros(len(numbers), bool)
    places = np.minimum(np.searchsorted(wanted, numbers), len(wanted) - 1)
    found: np.ndarray = wanted[places] == numbers
    return found
