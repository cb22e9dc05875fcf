"""Compiled loops, without Python's lock: find the fields of CSV, copy texts (JSON's too), tell relative paths."""

from typing import NamedTuple

import numpy as np

from vidsemi.runtime.compiled import compiled

# numba's cache is invalidated by a change of this file only, so the kernels must not use constants of another one.

LINE_END, RETURN, QUOTE, BACKSLASH, LETTER_U, SLASH, DOT, COLON = map(ord, '\n\r"\\u/.:')
MANY = 3
WORD = 8
# Kinds of values: ESCAPED is a text with JSON's escapes, LIST a list of texts.
NOTHING, TEXT, ESCAPED, LIST, NUMBER = range(5)
# Kinds of bytes: clean lines have no SPECIAL one; HIGH is beyond ASCII.
DELIMITER, SPECIAL, HIGH, END = 1, 2, 3, 4


def find_fields(
    data: np.ndarray,
    special: np.ndarray,
    columns: int,
    slots: np.ndarray,
    longest: int,
    starts: np.ndarray,
    stops: np.ndarray,
    ends: np.ndarray,
    clean: np.ndarray,
) -> bool:
    """Find the fields of lines without quotes.

    Args:
        data: bytes of the lines, which end in LINE_END.
        special: (256,) uint8, the kind of each byte, 0 for all others.
        columns: fields of a clean line.
        slots: (columns,) the row of `starts` and `stops` for each field; the last row is for those that nobody needs.
        longest: bytes of a clean line, with its end.
        starts: (S, N) int32, receives where the fields of each line begin.
        stops: (S, N) int32, receives where they end.
        ends: (N,) int64, receives where each line ends.
        clean: (N,) bool, receives which lines have as many fields as they must have, and no byte that is SPECIAL.

    Returns:
        Whether any byte is beyond ASCII.
    """
    line = begin = field = first = 0
    fine, is_high = True, False
    for place in range(len(data)):
        what = special[data[place]]
        if what == 0:
            continue
        if what == HIGH:
            is_high = True
        elif what == SPECIAL:
            fine = False
        elif what == DELIMITER:
            if field < columns:
                slot = slots[field]
                starts[slot, line], stops[slot, line] = begin, place
            field, begin = field + 1, place + 1
        else:
            stop = place - 1 if place > first and data[place - 1] == RETURN else place
            if field < columns:
                slot = slots[field]
                starts[slot, line], stops[slot, line] = begin, stop
            ends[line] = place
            clean[line] = fine and field == columns - 1 and stop > first and place - first < longest
            line, begin, field, first, fine = line + 1, place + 1, 0, place + 1, True
    return is_high


class Spans(NamedTuple):
    """Where N texts are among the bytes of a block."""

    starts: np.ndarray  # (N,) int32, where each begins
    stops: np.ndarray  # (N,) int32, where each ends
    kinds: np.ndarray  # (N,) uint8, what each is; of length 0 if all are TEXT


def text_ends(spans: Spans, rows: np.ndarray, ends: np.ndarray) -> None:
    """Where copies of the texts of some rows, (M,), end at most; `ends`, (M + 1,) int32, receives it."""
    starts, stops, kinds = spans
    used = 0
    for place in range(len(rows)):
        ends[place] = used
        row = rows[place]
        if len(kinds) == 0 or kinds[row] != NOTHING:
            used += stops[row] - starts[row]
    ends[len(rows)] = used


def copy_texts(
    data: np.ndarray,
    words: np.ndarray,
    spans: Spans,
    rows: np.ndarray,
    texts: np.ndarray,
    text_words: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Copy the texts of some rows one behind the other.

    Args:
        data: bytes of the texts.
        words: of those bytes (see `words_of`).
        spans: of N texts.
        rows: (M,) to copy.
        texts: receives all texts; a word longer than `text_ends` says.
        text_words: its words.
        ends: (M + 1,) int32, receives where each copy begins, and the last ends.
    """
    starts, stops, kinds = spans
    used = 0
    for place in range(len(rows)):
        ends[place] = used
        row = rows[place]
        kind = TEXT if len(kinds) == 0 else kinds[row]
        start, stop = int(starts[row]), int(stops[row])
        if kind == ESCAPED:
            used = _unescape(data, start, stop, texts, used)
        elif kind != NOTHING:
            if stop + WORD <= len(data):
                for byte in range(0, stop - start, WORD):
                    text_words[used + byte] = words[start + byte]
            else:
                for byte in range(stop - start):
                    texts[used + byte] = data[start + byte]
            used += stop - start
    ends[len(rows)] = used


def _unescape(data: np.ndarray, place: int, stop: int, texts: np.ndarray, used: int) -> int:
    """Write the UTF-8 of a text with valid escapes of JSON; returns where it ends."""
    while place < stop:
        letter = int(data[place])
        if letter != BACKSLASH:
            texts[used] = letter
            used, place = used + 1, place + 1
            continue
        letter = int(data[place + 1])
        place += 2
        if letter != LETTER_U:
            for escape, meaning in ((ord("b"), 8), (ord("f"), 12), (ord("n"), 10), (ord("r"), 13), (ord("t"), 9)):
                if letter == escape:
                    texts[used] = meaning
                    break
            else:
                texts[used] = letter
            used += 1
            continue
        code = _hex(data, place)
        place += 4
        if 0xD800 <= code < 0xDC00:
            code = 0x10000 + ((code - 0xD800) << 10) + _hex(data, place + 2) - 0xDC00
            place += 6
        if code < 0x80:
            texts[used] = code
            used += 1
            continue
        more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
        texts[used] = (0xFF00 >> more + 1 & 0xFF) | code >> 6 * more
        for byte in range(1, more + 1):
            texts[used + byte] = 0x80 | (code >> 6 * (more - byte) & 0x3F)
        used += more + 1
    return used


def _hex(data: np.ndarray, place: int) -> int:
    code = 0
    for byte in range(place, place + 4):
        letter = int(data[byte])
        code = code << 4 | (letter - ord("0") if letter <= ord("9") else (letter & 0xDF) - ord("A") + 10)
    return code


def copy_items(
    data: np.ndarray,
    firsts: np.ndarray,
    rows: np.ndarray,
    item_ends: np.ndarray,
    texts: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Copy the texts in lists of JSON one behind the other.

    Args:
        data: bytes of the lists.
        firsts: (N,) where the list of each line begins.
        rows: (M,) lines with lists.
        item_ends: (M + 1,) where the texts of each row begin, and those of the last end.
        texts: receives all texts; long enough for all bytes of the lists.
        ends: (all texts + 1,) int32, receives where each copy begins, and the last ends.
    """
    used = 0
    for place in range(len(rows)):
        byte = int(firsts[rows[place]])
        for item in range(item_ends[place], item_ends[place + 1]):
            ends[item] = used
            while data[byte] != QUOTE:
                byte += 1
            byte += 1
            begin, is_escaped = byte, False
            while data[byte] != QUOTE:
                texts[used] = data[byte]
                used += 1
                if data[byte] == BACKSLASH:
                    is_escaped = True
                    byte += 1
                byte += 1
            if is_escaped:
                used = _unescape(data, begin, byte, texts, ends[item])
            byte += 1
    ends[len(ends) - 1] = used


def find_relative(data: np.ndarray, ends: np.ndarray, relative: np.ndarray) -> bool:
    """Find paths that are neither absolute, nor URIs, nor from Windows: most of them.

    Args:
        data: bytes of the paths.
        ends: (N + 1,) where each begins and the last ends.
        relative: (N,) bool, receives which they are.

    Returns:
        Whether no path has a part that is empty, `.` or `..`.
    """
    are_direct = True
    for row in range(len(relative)):
        fine = ends[row] < ends[row + 1] and data[ends[row]] != SLASH
        dots = 0  # in the part of the path so far; MANY if anything else is in it
        for place in range(ends[row], ends[row + 1]):
            letter = data[place]
            if letter == SLASH:
                are_direct &= dots == MANY
                dots = 0
            elif letter != DOT:
                dots = MANY
                fine &= letter != BACKSLASH and letter != COLON and letter != 0
            elif dots < MANY:
                dots += 1
        are_direct &= dots == MANY
        relative[row] = fine
    return are_direct


find_fields = compiled(find_fields, nogil=True)
find_relative = compiled(find_relative, nogil=True)
text_ends = compiled(text_ends, nogil=True)
_hex = compiled(_hex, nogil=True)
_unescape = compiled(_unescape, nogil=True)
copy_texts = compiled(copy_texts, nogil=True)
copy_items = compiled(copy_items, nogil=True)
