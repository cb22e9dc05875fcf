"""The tags of a column of fields: canonical forms once per distinct spelling, no Python object per row.

Nine in ten fields need no rule: all their words begin with `#`, or they are words without `#`, or parted by commas.
Compiled loops split those, number the spellings and write the forms; `read_text` reads the others.
"""

from dataclasses import dataclass
from threading import local

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.hashtags.distinct import KEY, Distinct, text_bytes
from vidsemi.data.hashtags.normalize import Reading, canonical_forms, raw_tags, read_text
from vidsemi.data.hashtags.tag_kernels import (
    CAPTION,
    LETTERS,
    TAGS,
    UNREAD,
    WORDS,
    fields_size,
    first_of_each,
    split_lists,
    split_texts,
    write_fields,
)
from vidsemi.data.hashtags.text_table import WORD, Texts, words_of

__all__ = ["CAPTION", "TAGS", "WORDS", "TagLists", "TagReader", "matches"]

READINGS = tuple(Reading)
MOST_SPELLINGS = 1 << 20  # that are kept from one column to the next
MOST_BYTES = 1 << 26  # of them


@dataclass(frozen=True)
class TagLists:
    """The distinct canonical tags of each of N fields, in order of first appearance."""

    forms: Distinct  # all that were found so far; first those that the reader knew
    codes: np.ndarray  # (T,) int32 numbers of forms, of all tags of all fields
    offsets: np.ndarray  # (N + 1,) int64; the tags of field i are codes[offsets[i]:offsets[i + 1]]
    readings: np.ndarray  # (N,) int8, indices of READINGS
    known: int  # forms that the reader knew

    def rows(self) -> np.ndarray:
        """The field of each tag, (T,) int64."""
        return np.repeat(np.arange(len(self.readings)), np.diff(self.offsets))

    def carry_known(self) -> np.ndarray:
        """Which fields carry a tag that the reader knew, (N,) bool."""
        counts = np.concatenate([[0], np.cumsum(self.codes < self.known)])
        carried: np.ndarray = counts[self.offsets[1:]] > counts[self.offsets[:-1]]
        return carried

    def fields(self) -> pa.Array:
        """The tags as a manifest's column `hashtags` stores them: `#a #b`, null without any tag."""
        ends, words = self.forms.ends, words_of(self.forms.data)
        size = fields_size(self.codes, ends) + 2 * WORD
        fields, field_ends = np.empty(size, np.uint8), np.empty(len(self.offsets), np.int32)
        write_fields(self.codes, self.offsets, ends, words, fields, words_of(fields), field_ends)
        bits = pa.py_buffer(np.packbits(np.diff(self.offsets) > 0, bitorder="little"))
        buffers = [bits, pa.py_buffer(field_ends), pa.py_buffer(fields)]
        return pa.Array.from_buffers(pa.string(), len(self.readings), buffers)


class _Spellings:
    """Tags as written, and their canonical forms."""

    def __init__(self, known: pa.Array) -> None:
        self.written = Distinct()
        self.forms = Distinct()
        self.forms.numbers_of(known)
        self.form_of = np.zeros(0, np.int32)
        self._room = np.empty(0, np.uint64)

    def room(self, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where tags start, their lengths and hashes: room for `most` tags of a column.

        The next column is given the same memory. What is new to a process is cleared page by page, which took a sixth
        of the time of reading a table.
        """
        if len(self._room) < 3 * most:
            self._room = np.empty(3 * most, np.uint64)
        starts, hashes, lengths = self._room[:most], self._room[most : 2 * most], self._room[2 * most : 3 * most]
        return starts.view(np.int64), lengths.view(np.int32)[:most], hashes

    def read_new(self) -> None:
        """Find the forms of the spellings that came since the last call."""
        new = self.written.texts(len(self.form_of))
        if len(new):
            self.form_of = np.concatenate([self.form_of, self.forms.numbers_of(_canonical(new))])

    @property
    def is_full(self) -> bool:
        """Whether there are so many that they are forgotten."""
        return len(self.written) > MOST_SPELLINGS or self.written.size > MOST_BYTES


class TagReader:
    """Reads columns of tags, in any number of threads.

    Args:
        known: distinct canonical tags, whose numbers are their places.
    """

    def __init__(self, known: list[str] | tuple[str, ...] = ()) -> None:
        self._known = pa.array(known, pa.string())
        self._local = local()

    def _spellings(self) -> _Spellings:
        """Those of this thread."""
        own: _Spellings | None = getattr(self._local, "spellings", None)
        if own is None or own.is_full:
            own = self._local.spellings = _Spellings(self._known)
        return own

    def read(self, fields: pa.Array, *, in_captions: bool = False) -> TagLists:
        """Read the tags of a column, as `unique_tags` of `read_text` does for a text, and `split_tags` for lists.

        Args:
            fields: texts, or lists of texts without nulls in them; of at most 2 GB.
            in_captions: whether the texts are from a column of captions.
        """
        spellings = self._spellings()
        found, tags, readings = _split(fields, spellings, in_captions)
        codes = spellings.written.numbers(found)
        starts, lengths = tags[:-1], np.diff(tags)
        rest = np.flatnonzero(readings == UNREAD)
        if len(rest):
            own, lengths[rest] = _read_rest(fields.take(pa.array(rest)), rest, readings, in_captions)
            starts = starts.copy()
            starts[rest] = tags[-1] + np.cumsum(lengths[rest]) - lengths[rest]
            codes = np.concatenate([codes, spellings.written.numbers_of(own)])
        spellings.read_new()
        forms = spellings.forms
        own_forms, offsets = np.empty(len(codes), np.int32), np.empty(len(tags), np.int64)
        seen = np.full(len(forms), -1, np.int32)
        first_of_each(codes, starts, lengths, spellings.form_of, seen, own_forms, offsets)
        return TagLists(forms, own_forms[: offsets[-1]], offsets, readings, len(self._known))


def _split(fields: pa.Array, spellings: _Spellings, in_captions: bool) -> tuple[Texts, np.ndarray, np.ndarray]:
    """The tags of fields that need no rule, where those of each begin and end, and the readings."""
    readings, tags = np.empty(len(fields), np.int8), np.zeros(len(fields) + 1, np.int64)
    is_list = pa.types.is_list(fields.type)
    if not is_list and fields.null_count:
        fields = fields.fill_null("")
    data, ends = text_bytes(fields.flatten() if is_list else fields)
    most = int(ends[-1] - ends[0])
    starts, lengths, hashes = spellings.room(most)
    if is_list:
        counts = pc.fill_null(pc.list_value_length(fields), 0).to_numpy()
        items = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        split_lists(data, ends, items, LETTERS, KEY, starts, lengths, hashes, tags, readings)
    else:
        split_texts(data, ends, LETTERS, in_captions, KEY, starts, lengths, hashes, tags, readings)
    return Texts(data, starts[: tags[-1]], lengths[: tags[-1]], hashes[: tags[-1]]), tags, readings


def _read_rest(
    fields: pa.Array, rows: np.ndarray, readings: np.ndarray, in_captions: bool
) -> tuple[pa.Array, np.ndarray]:
    """The tags of fields, split one by one, and how many each has; notes the readings."""
    lengths, values = [], list[str]()
    for row, field in zip(rows.tolist(), fields.to_pylist(), strict=True):
        if isinstance(field, str):
            tags, reading = read_text(field, in_captions=in_captions)
            readings[row] = READINGS.index(reading)
        else:
            tags = raw_tags(field)
            readings[row] = TAGS
        lengths.append(len(tags))
        values += tags
    return pa.array(values, pa.string()), np.array(lengths, np.int64)


def matches(texts: pa.Array, pattern: str) -> np.ndarray:
    """Which texts match a regular expression, (N,) bool; nulls do not."""
    found: np.ndarray = pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy(zero_copy_only=False)
    return found


def _canonical(tags: pa.Array) -> pa.Array:
    """The canonical form of each tag; null if nothing is left."""
    forms = pc.ascii_lower(tags)  # all of the rule for plain words
    rest = ~matches(tags, "^[0-9A-Za-z]*$")
    if rest.any():
        own = tags.filter(pa.array(rest))
        # The rule for ASCII without URL encoding: only letters and digits stay.
        simple = matches(own, r"^[^%+\x{80}-\x{10ffff}]*$")
        short = pc.ascii_lower(pc.replace_substring_regex(own, "[^0-9A-Za-z]+", ""))
        if not simple.all():
            full = canonical_forms(own.filter(pa.array(~simple)).to_pylist())
            short = pc.replace_with_mask(short, pa.array(~simple), pa.array(full, pa.string()))
        forms = pc.replace_with_mask(forms, pa.array(rest), short)
    return pc.if_else(pc.equal(forms, ""), pa.scalar(None, pa.string()), forms)
