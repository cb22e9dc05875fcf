"""Compiled loops over columns of tags: split plain fields, drop repeats, write fields; without Python's lock."""

import numpy as np

from vidsemi.data.hashtags.normalize import SEPARATORS
from vidsemi.runtime.compiled import compiled

# numba's cache is invalidated by a change of this file only, so the kernels must not use constants of another one.

MARK, SPACE, COMMA_SIGN, BRACKET = map(ord, "# ,[")
HASH, BLANK, COMMA, RULE, WHITE, ODD = 1, 2, 4, 8, 16, 32
TAGS, WORDS, CAPTION, UNREAD = range(4)  # how a field is read, as in `Reading`; `read_text` reads those that are UNREAD
HALF = np.uint64(32)
WORD = 8


def _letters() -> np.ndarray:
    """What each letter is to `read_text`, (65536,) uint8; none beyond is anything."""
    letters = np.array([WHITE * chr(code).isspace() for code in range(1 << 16)], np.uint8)
    for what, those in ((HASH, "#"), (BLANK, " "), (COMMA, ","), (RULE, ";|" + "".join(map(chr, SEPARATORS)))):
        letters[list(map(ord, those))] = what
    return letters


LETTERS = _letters()


def _letters_in(data: np.ndarray, start: int, stop: int, letters: np.ndarray) -> int:
    """All that the letters of a text are; ODD if not every word begins with `#`, and has no other."""
    found, before, place = 0, SPACE, start
    while place < stop:
        code = int(data[place])
        if (code == MARK) != (before == SPACE):
            found |= ODD
        before = code
        if code < 0x80:
            found |= letters[code]
            place += 1
        elif code < 0xE0 and place + 1 < stop:
            found |= letters[(code & 0x1F) << 6 | int(data[place + 1] & 0x3F)]
            place += 2
        elif code < 0xF0 and place + 2 < stop:
            found |= letters[(code & 0x0F) << 12 | int(data[place + 1] & 0x3F) << 6 | int(data[place + 2] & 0x3F)]
            place += 3
        else:
            place += 4
    return found | ODD if before == SPACE else found


_letters_in = compiled(_letters_in, nogil=True)


def split_texts(
    data: np.ndarray,
    ends: np.ndarray,
    letters: np.ndarray,
    in_captions: bool,
    key: np.uint64,
    starts: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    tags: np.ndarray,
    readings: np.ndarray,
) -> None:
    """Find the tags of texts that need no rule, as they are written, and hash them.

    Args:
        data: bytes of the texts.
        ends: (N + 1,) where each begins and the last ends.
        letters: `LETTERS`.
        in_captions: whether the texts are from a column of captions.
        key: as of `hash_texts`.
        starts: receives where each tag begins.
        lengths: receives the bytes of each tag.
        hashes: receives the hash of each tag.
        tags: (N + 1,) receives where those of each text begin and the last end.
        readings: (N,) int8, receives what each text is.
    """
    used = 0
    for row in range(len(readings)):
        tags[row] = used
        start, stop = int(ends[row]), int(ends[row + 1])
        if start == stop:
            readings[row] = TAGS
            continue
        found = _letters_in(data, start, stop, letters)
        readings[row] = UNREAD
        if found & HASH:
            if found & (COMMA | RULE | WHITE | ODD):
                continue
            readings[row] = TAGS
        else:
            is_words = data[start] != SPACE and not found & WHITE
            if in_captions or found & RULE or data[start] == BRACKET or not (found & COMMA or is_words):
                continue
            readings[row] = WORDS
        by = COMMA_SIGN if found & COMMA else SPACE
        begin, hashed = start, key
        for place in range(start, stop + 1):
            if place == stop or data[place] == by:
                if begin < place:
                    starts[used], lengths[used], hashes[used] = begin, place - begin, hashed
                    used += 1
                begin, hashed = place + 1, key
            elif data[place] == MARK:
                begin = place + 1
            else:
                hashed = (hashed ^ np.uint64(data[place])) * key
                hashed ^= hashed >> HALF
    tags[len(readings)] = used


def split_lists(
    data: np.ndarray,
    ends: np.ndarray,
    items: np.ndarray,
    letters: np.ndarray,
    key: np.uint64,
    starts: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    tags: np.ndarray,
    readings: np.ndarray,
) -> None:
    """Find the tags of lists whose items are one tag each: as `split_texts`, but list i is items[i] to items[i + 1]."""
    used = 0
    for row in range(len(readings)):
        tags[row] = used
        readings[row] = TAGS
        for item in range(items[row], items[row + 1]):
            start, stop = int(ends[item]), int(ends[item + 1])
            start += start < stop and data[start] == MARK
            if _letters_in(data, start, stop, letters) & (HASH | RULE):
                readings[row] = UNREAD
                used = tags[row]
                break
            if start < stop:
                hashed = key
                for place in range(start, stop):
                    hashed = (hashed ^ np.uint64(data[place])) * key
                    hashed ^= hashed >> HALF
                starts[used], lengths[used], hashes[used] = start, stop - start, hashed
                used += 1
    tags[len(readings)] = used


def first_of_each(
    codes: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    form_of: np.ndarray,
    seen: np.ndarray,
    forms: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """The canonical forms of rows of tags, each once a row.

    Args:
        codes: of the tags as written.
        starts: (N,) where those of each row begin.
        lengths: (N,) how many these are.
        form_of: the canonical form of each code; -1 for none.
        seen: -1 for each form.
        forms: receives the forms of all rows.
        offsets: (N + 1,) receives where those of each row begin and the last end.
    """
    used = 0
    for row in range(len(starts)):
        offsets[row] = used
        for place in range(starts[row], starts[row] + lengths[row]):
            form = form_of[codes[place]]
            if form >= 0 and seen[form] != row:
                seen[form] = row
                forms[used] = form
                used += 1
    offsets[len(starts)] = used


def fields_size(codes: np.ndarray, ends: np.ndarray) -> int:
    """Bytes of the tags of all rows, with two for each: `write_fields` needs no more."""
    size = 2 * len(codes)
    for code in codes:
        size += ends[code + 1] - ends[code]
    return size


def write_fields(
    codes: np.ndarray,
    offsets: np.ndarray,
    ends: np.ndarray,
    words: np.ndarray,
    marks: np.ndarray,
    fields: np.ndarray,
    field_ends: np.ndarray,
) -> None:
    """Write `#a #b` for each row.

    Args:
        codes: numbers of the tags of all rows.
        offsets: (N + 1,) where those of each row begin and the last end.
        ends: tag i is the bytes from ends[i] to ends[i + 1].
        words: of those bytes (see `words_of`).
        marks: receives all bytes; at least a word longer.
        fields: its words.
        field_ends: (N + 1,) receives where each field begins and the last ends.
    """
    used = 0
    for row in range(len(offsets) - 1):
        field_ends[row] = used
        for place in range(offsets[row], offsets[row + 1]):
            if place > offsets[row]:
                marks[used] = SPACE
                used += 1
            marks[used] = MARK
            used += 1
            start, length = ends[codes[place]], ends[codes[place] + 1] - ends[codes[place]]
            fields[used] = words[start]
            for byte in range(WORD, length, WORD):
                fields[used + byte] = words[start + byte]
            used += length
    field_ends[len(offsets) - 1] = used


split_texts = compiled(split_texts, nogil=True)
split_lists = compiled(split_lists, nogil=True)
first_of_each = compiled(first_of_each, nogil=True)
fields_size = compiled(fields_size, nogil=True)
write_fields = compiled(write_fields, nogil=True)
