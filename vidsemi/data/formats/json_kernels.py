"""A compiled loop over JSON lines that finds the values of some keys; without Python's lock.

It checks whole lines, and takes none for clean that Python's `json` refuses or that it may read in another way: keys
with escapes, repeated keys, half surrogate pairs, NaN, numbers of many digits or in exponential form where they matter.
"""

from typing import NamedTuple

import numpy as np

from vidsemi.runtime.compiled import compiled

# numba's cache is invalidated by a change of this file only, so the kernels must not use constants of another one.

LINE_END, RETURN, TAB, SPACE, QUOTE, BACKSLASH, COMMA, COLON, OPEN, CLOSE = map(ord, '\n\r\t "\\,:{}')
OPEN_LIST, CLOSE_LIST, MINUS, PLUS, DOT, ZERO, NINE, EXPONENT, LETTER_U = map(ord, "[]-+.09eu")
NOTHING, TEXT, ESCAPED, LIST, NUMBER = range(5)  # kinds of values, with the numbers of field_kernels.py
OF_TEXTS, OF_TAGS, OF_INTEGERS, OF_NUMBERS = range(4)  # what values a column has; tags are texts or lists of texts
DEEPEST, MOST_DIGITS = 60, 4000  # brackets in brackets, digits of an integer; Python refuses 1,000 and 4,301
INTEGER_DIGITS, NUMBER_DIGITS = 18, 15  # that fit into 63 bits, and into a float
BROKEN, HALF = -1, 2  # HALF: a text has half a surrogate pair
IS_ESCAPE = np.array([chr(byte) in '"\\/bfnrt' for byte in range(256)])  # behind a backslash
IS_PLAIN = np.array([byte >= SPACE and byte not in (QUOTE, BACKSLASH) for byte in range(256)])  # in a text
ONE = np.uint64(1)
ANY_VALUE, FIRST_VALUE, ANY_KEY, FIRST_KEY, BEHIND = range(5)  # what comes next


class Keys(NamedTuple):
    """The keys of C columns."""

    data: np.ndarray  # uint8, bytes of all keys
    ends: np.ndarray  # (C + 1,) int64, where each begins and the last ends
    types: np.ndarray  # (C,) int64, such as OF_TEXTS


class Values(NamedTuple):
    """The values of C columns in N lines."""

    starts: np.ndarray  # (C, N) int32, where each begins, behind the quote of a text
    stops: np.ndarray  # (C, N) int32, where each ends
    kinds: np.ndarray  # (C, N) uint8, what each is; NOTHING for null
    counts: np.ndarray  # (N,) int32, how many texts are in a list of the line
    ends: np.ndarray  # (N,) int64, where each line ends
    clean: np.ndarray  # (N,) bool, which lines are an object whose values have the types of their columns


def find_values(data: np.ndarray, keys: Keys, values: Values) -> int:
    """Find the values of keys in lines, each with a LINE_END; returns which keys clean lines have, as bits.

    `values` receives the values; its `kinds` are zeros.
    """
    place = line = seen = 0
    while place < len(data):
        end, found = _object(data, place, line, keys, values)
        values.clean[line] = end >= 0
        if end >= 0:
            seen |= found
            place = end
        else:
            while data[place] != LINE_END:
                place += 1
        values.ends[line] = place
        line, place = line + 1, place + 1
    return seen


def _object(data: np.ndarray, place: int, line: int, keys: Keys, values: Values) -> tuple[int, int]:
    """Where a line with one object ends, BROKEN if it is not clean; and the keys in it."""
    seen, bad = 0, (BROKEN, 0)
    place = _skip_space(data, place)
    if data[place] != OPEN:
        return bad
    place = _skip_space(data, place + 1)
    more = data[place] != CLOSE
    while more:
        if data[place] != QUOTE:
            return bad
        start = place + 1
        stop, found = _text_end(data, start)
        if stop < 0 or found:
            return bad
        place = _skip_space(data, stop + 1)
        if data[place] != COLON:
            return bad
        column = _column_of(data, start, stop, keys)
        place = _skip_space(data, place + 1)
        if column < 0:
            place = _value_end(data, place)
        elif seen >> column & 1:
            return bad
        else:
            seen, start = seen | 1 << column, place
            place, kind, count = _typed_value(data, place, keys.types[column])
            is_text = kind in (TEXT, ESCAPED)
            values.starts[column, line], values.stops[column, line] = start + is_text, place - is_text
            values.kinds[column, line] = kind
            if kind == LIST:
                values.counts[line] = count
        if place < 0:
            return bad
        place = _skip_space(data, place)
        more = data[place] == COMMA
        if not more and data[place] != CLOSE:
            return bad
        place = _skip_space(data, place + more)
    place = _skip_space(data, place + 1)
    return (place, seen) if data[place] == LINE_END else bad


def _skip_space(data: np.ndarray, place: int) -> int:
    while data[place] == SPACE or data[place] == TAB or data[place] == RETURN:
        place += 1
    return place


def _column_of(data: np.ndarray, start: int, stop: int, keys: Keys) -> int:
    for column in range(len(keys.types)):
        first = keys.ends[column]
        if keys.ends[column + 1] - first == stop - start:
            byte = 0
            while byte < stop - start and data[start + byte] == keys.data[first + byte]:
                byte += 1
            if byte == stop - start:
                return column
    return -1


def _text_end(data: np.ndarray, place: int) -> tuple[int, int]:
    """Return the place of a text's closing quote, or BROKEN; and 1 if it has escapes, HALF if one is half a pair."""
    found = 0
    while True:
        while IS_PLAIN[data[place]]:
            place += 1
        if data[place] == QUOTE:
            return place, found
        if data[place] != BACKSLASH:
            return BROKEN, 0
        place += 1
        found = max(found, 1)
        letter = data[place]
        place += 1
        if letter != LETTER_U:
            if not IS_ESCAPE[letter]:
                return BROKEN, 0
            continue
        code, place = _hex_code(data, place), place + 4
        if code < 0:
            return BROKEN, 0
        if 0xD800 <= code < 0xE000:
            is_pair = code < 0xDC00 and data[place] == BACKSLASH and data[place + 1] == LETTER_U
            second = _hex_code(data, place + 2) if is_pair else -1
            if 0xDC00 <= second < 0xE000:
                place += 6
            else:
                found = HALF


def _hex_code(data: np.ndarray, place: int) -> int:
    """The number of four hexadecimal digits; -1 if there are others."""
    code = 0
    for byte in range(place, place + 4):
        letter = int(data[byte])
        if ZERO <= letter <= NINE:
            code = code << 4 | letter - ZERO
        elif ord("a") <= letter | 0x20 <= ord("f"):
            code = code << 4 | (letter | 0x20) - ord("a") + 10
        else:
            return -1
    return code


def _typed_value(data: np.ndarray, place: int, type_: int) -> tuple[int, int, int]:
    """Where the value of a column ends, what it is, and the texts in a list; BROKEN if it has another type."""
    bad = (BROKEN, NOTHING, 0)
    letter = data[place]
    if letter == ord("n"):
        return _value_end(data, place), NOTHING, 0
    if letter == QUOTE and type_ in (OF_TEXTS, OF_TAGS):
        stop, found = _text_end(data, place + 1)
        return (stop + 1, ESCAPED if found else TEXT, 1) if stop >= 0 and found != HALF else bad
    if letter == OPEN_LIST and type_ == OF_TAGS:
        place, count = _skip_space(data, place + 1), 0
        more = data[place] != CLOSE_LIST
        while more:
            count += 1
            stop, found = _text_end(data, place + 1) if data[place] == QUOTE else (BROKEN, 0)
            if stop < 0 or found == HALF:
                return bad
            place = _skip_space(data, stop + 1)
            more = data[place] == COMMA
            if not more and data[place] != CLOSE_LIST:
                return bad
            place = _skip_space(data, place + more)
        return place + 1, LIST, count
    if type_ in (OF_INTEGERS, OF_NUMBERS):
        stop, digits, is_integer = _number_end(data, place)
        is_minus = data[place] == MINUS
        place += is_minus
        if stop < 0 or (is_minus and data[place] == ZERO):  # Python's -0 is 0, and its -0.0 is not
            return bad
        for byte in range(place, stop):
            if data[byte] | 0x20 == EXPONENT:
                return bad
        fits = is_integer and digits <= INTEGER_DIGITS if type_ == OF_INTEGERS else digits <= NUMBER_DIGITS
        return (stop, NUMBER, 0) if fits else bad
    return bad


def _number_end(data: np.ndarray, place: int) -> tuple[int, int, bool]:
    """Where a number ends, its digits before the point, and whether it is an integer; BROKEN if it is none."""
    first = place + (data[place] == MINUS)
    stop = _digits_end(data, first)
    digits = stop - first
    if digits == 0 or digits > MOST_DIGITS or (data[first] == ZERO and digits > 1):
        return BROKEN, 0, False
    is_integer = True
    if data[stop] == DOT:
        place, is_integer = stop + 1, False
        stop = _digits_end(data, place)
        if stop == place:
            return BROKEN, 0, False
    if data[stop] | 0x20 == EXPONENT:
        place, is_integer = stop + 1, False
        place += data[place] == PLUS or data[place] == MINUS
        stop = _digits_end(data, place)
        if stop == place:
            return BROKEN, 0, False
    return stop, digits, is_integer


def _digits_end(data: np.ndarray, place: int) -> int:
    while ZERO <= data[place] <= NINE:
        place += 1
    return place


def _value_end(data: np.ndarray, place: int) -> int:
    """Where a value ends; BROKEN if it is none."""
    depth, objects, expected = 0, np.uint64(0), ANY_VALUE  # the last bit of `objects`: whether it is one, not a list
    while True:
        place = _skip_space(data, place)
        letter = data[place]
        is_object = objects & ONE == ONE
        if letter == COMMA and expected == BEHIND:
            place, expected = place + 1, ANY_KEY if is_object else ANY_VALUE
            continue
        if letter in (CLOSE, CLOSE_LIST):
            first = FIRST_KEY if is_object else FIRST_VALUE
            if depth == 0 or (letter == CLOSE) != is_object or (expected != BEHIND and expected != first):
                return BROKEN
            depth, objects, place = depth - 1, objects >> ONE, place + 1
        elif expected == BEHIND:
            return BROKEN
        elif expected in (ANY_KEY, FIRST_KEY):
            stop = _text_end(data, place + 1)[0] if letter == QUOTE else BROKEN
            place = _skip_space(data, stop + 1) if stop >= 0 else place
            if stop < 0 or data[place] != COLON:
                return BROKEN
            place, expected = place + 1, ANY_VALUE
            continue
        elif letter in (OPEN, OPEN_LIST):
            if depth == DEEPEST:
                return BROKEN
            depth, objects, place = depth + 1, objects << ONE | np.uint64(letter == OPEN), place + 1
            expected = FIRST_KEY if letter == OPEN else FIRST_VALUE
            continue
        else:
            place = _scalar_end(data, place)
            if place < 0:
                return BROKEN
        if depth == 0:
            return place
        expected = BEHIND


def _scalar_end(data: np.ndarray, place: int) -> int:
    letter = data[place]
    if letter == QUOTE:
        stop = _text_end(data, place + 1)[0]
        return stop + 1 if stop >= 0 else BROKEN
    for word in ("true", "false", "null"):
        if letter == ord(word[0]):
            for byte in range(1, len(word)):
                if data[place + byte] != ord(word[byte]):
                    return BROKEN
            return place + len(word)
    return _number_end(data, place)[0]


_skip_space = compiled(_skip_space, nogil=True)
_column_of = compiled(_column_of, nogil=True)
_hex_code = compiled(_hex_code, nogil=True)
_text_end = compiled(_text_end, nogil=True)
_digits_end = compiled(_digits_end, nogil=True)
_number_end = compiled(_number_end, nogil=True)
_scalar_end = compiled(_scalar_end, nogil=True)
_value_end = compiled(_value_end, nogil=True)
_typed_value = compiled(_typed_value, nogil=True)
_object = compiled(_object, nogil=True)
find_values = compiled(find_values, nogil=True)
