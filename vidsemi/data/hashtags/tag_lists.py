"""The tags of a column of fields in Arrow: canonical forms once per distinct spelling, no Python object per row.

Nine in ten fields need no rule: all their words begin with `#`, or they are words without `#`, or parted by commas.
Arrow finds and splits those; `read_text` reads the others. A million rows of five tags take 1.2 core-seconds, where a
loop over rows took 6.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.hashtags.normalize import SEPARATORS, Reading, canonical_forms, raw_tags, read_text

READINGS = tuple(Reading)
TAGS, WORDS, CAPTION = range(3)  # indices of READINGS
MOST_SHIFTS = 64  # tags of a row that are compared pair by pair

SPACES = r"\x09-\x0d\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"  # not " "
RULES = "#;|" + "".join(map(chr, SEPARATORS))  # what `read_text` has rules for, besides commas and white space
MARKED = f"^#[^ ,{RULES}{SPACES}]*( #[^ ,{RULES}{SPACES}]*)*$"  # `#a #b`
WORDS_ONLY = rf"^[^ ,\[{RULES}{SPACES}][^,{RULES}{SPACES}]*$"  # `a b`
COMMAS = rf"^[^\[{RULES}][^{RULES}]*$"  # `a b, c`, if there is a comma
ITEM = f"^#?[^{RULES}]*$"  # of a list


@dataclass(frozen=True)
class TagLists:
    """The distinct canonical tags of each of N fields, in order of first appearance."""

    forms: pa.Array  # (F,) the distinct tags
    codes: np.ndarray  # (T,) int32 indices of `forms`, of all tags of all fields
    offsets: np.ndarray  # (N + 1,) int64; the tags of field i are codes[offsets[i]:offsets[i + 1]]
    readings: np.ndarray  # (N,) int8, indices of READINGS

    def rows(self) -> np.ndarray:
        """The field of each tag, (T,) int64."""
        return np.repeat(np.arange(len(self.readings)), np.diff(self.offsets))

    def carry(self, wanted: np.ndarray) -> np.ndarray:
        """Which fields carry a tag that is wanted, (N,) bool; `wanted` is bool, one of each of `forms`."""
        counts = np.concatenate([[0], np.cumsum(wanted[self.codes])])
        carried: np.ndarray = counts[self.offsets[1:]] > counts[self.offsets[:-1]]
        return carried

    def fields(self) -> pa.Array:
        """The tags as a manifest's column `hashtags` stores them: `#a #b`, null without any tag."""
        marked = pa.concat_arrays([pc.binary_join_element_wise(mark, self.forms, "") for mark in ("#", " #")])
        is_first = np.zeros(len(self.codes), bool)
        counts = np.diff(self.offsets)
        is_first[self.offsets[:-1][counts > 0]] = True
        texts = marked.take(pa.array(np.where(is_first, self.codes, self.codes + len(self.forms))))
        # The texts of a row lie one behind the other, so its field is their bytes: nothing needs to be joined.
        _, ends, data = texts.buffers()
        ends = np.frombuffer(ends, np.int32, len(texts) + 1, texts.offset * 4) if len(texts) else np.zeros(1, np.int32)
        bits = pa.py_buffer(np.packbits(counts > 0, bitorder="little"))
        return pa.StringArray.from_buffers(len(counts), pa.py_buffer(ends[self.offsets]), data, bits)


def read_tag_lists(fields: pa.Array, *, in_captions: bool = False) -> TagLists:
    """Read the tags of a column, as `unique_tags` of `read_text` does for a text, and `split_tags` for a list of texts.

    Args:
        fields: texts, or lists of texts without nulls in them; of at most 2 GB.
        in_captions: whether the texts are from a column of captions.
    """
    readings = np.zeros(len(fields), np.int8)
    is_list = pa.types.is_list(fields.type)
    split = _split_lists(fields) if is_list else _split_texts(fields, readings, in_captions)
    rest = np.setdiff1d(np.arange(len(fields)), np.concatenate([rows for rows, _ in split]), assume_unique=True)
    if len(rest):
        split.append((rest, _read_rest(fields.take(pa.array(rest)), rest, readings, in_captions)))
    rows = np.concatenate([rows for rows, _ in split])
    lengths = np.concatenate([pc.list_value_length(tags).to_numpy() for _, tags in split]).astype(np.int64)
    encoded = pa.concat_arrays([tags.flatten() for _, tags in split]).dictionary_encode()
    forms = _canonical(encoded.dictionary).dictionary_encode()
    codes = forms.indices.take(encoded.indices).fill_null(-1).to_numpy()
    codes, lengths = _in_order(codes, rows, lengths)
    keep = _first_of_row(codes, lengths)
    ends = np.concatenate([[0], np.cumsum(keep)])
    offsets = ends[np.concatenate([[0], np.cumsum(lengths)])]
    return TagLists(forms.dictionary, codes[keep], offsets, readings)


Split = list[tuple[np.ndarray, pa.ListArray]]  # rows, and their tags as written, some of which may be empty


def _split_texts(texts: pa.Array, readings: np.ndarray, in_captions: bool) -> Split:
    """The texts that Arrow can split, and their readings."""
    marked = matches(texts, MARKED)
    split = [_part(texts, marked, " ")]
    if marked.all():
        return split
    is_empty = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
    nothing = np.flatnonzero(is_empty)
    split.append((nothing, _lists_of(np.zeros(len(nothing), np.int64), [])))
    if in_captions:
        return split
    words = ~marked & ~is_empty & matches(texts, WORDS_ONLY)
    commas = ~marked & ~is_empty & ~words
    if commas.any():
        commas &= matches(texts, COMMAS) & matches(texts, ",")
    readings[words | commas] = WORDS
    return [*split, _part(texts, words, " "), _part(texts, commas, ",")]


def _split_lists(lists: pa.Array) -> Split:
    """The lists whose items are one tag each."""
    is_tag = matches(lists.flatten(), ITEM)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    fine = np.concatenate([[0], np.cumsum(is_tag)])[ends]
    rows = np.flatnonzero(np.diff(fine) == lengths)
    chosen = np.repeat(np.diff(fine) == lengths, lengths)
    values = lists.flatten() if chosen.all() else lists.flatten().filter(pa.array(chosen))
    return [(rows, _lists_of(lengths[rows], values))]


def _read_rest(fields: pa.Array, rows: np.ndarray, readings: np.ndarray, in_captions: bool) -> pa.ListArray:
    """Split fields one by one, and note their readings."""
    lengths, values = [], list[str]()
    for row, field in zip(rows.tolist(), fields.to_pylist(), strict=True):
        if isinstance(field, str):
            tags, reading = read_text(field, in_captions=in_captions)
            readings[row] = READINGS.index(reading)
        else:
            tags = raw_tags(field)
        lengths.append(len(tags))
        values += tags
    return _lists_of(np.array(lengths, np.int64), values)


def _lists_of(lengths: np.ndarray, values: Sequence[str] | pa.Array) -> pa.ListArray:
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(ends, values if isinstance(values, pa.Array) else pa.array(values, pa.string()))


def matches(texts: pa.Array, pattern: str) -> np.ndarray:
    """Which texts match a regular expression, (N,) bool; nulls do not."""
    found: np.ndarray = pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy(zero_copy_only=False)
    return found


def _part(texts: pa.Array, chosen: np.ndarray, separator: str) -> tuple[np.ndarray, pa.ListArray]:
    own = texts if chosen.all() else texts.filter(pa.array(chosen))
    return np.flatnonzero(chosen), pc.split_pattern(own, separator)


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


def _in_order(codes: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and lengths of rows in any order, sorted by row."""
    if (np.diff(rows) > 0).all():
        return codes, lengths
    order = np.argsort(rows)
    starts = (np.cumsum(lengths) - lengths)[order]
    lengths = lengths[order]
    places = np.arange(len(codes)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return codes[places], lengths


def _first_of_row(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which tags are not empty, and the first of their form in their row, (T,) bool."""
    keep = codes >= 0
    place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # in its row
    if lengths.max(initial=0) > MOST_SHIFTS:
        row = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((place, codes, row))
        again = (np.diff(row[order]) == 0) & (np.diff(codes[order]) == 0)
        keep[order[1:][again]] = False
        return keep
    later = np.flatnonzero(place)
    shift = 1
    while len(later):
        keep[later[codes[later] == codes[later - shift]]] = False
        shift += 1
        later = later[place[later] >= shift]
    return keep
