"""Rows of a table as examples: Arrow takes the rows that need no rule, Python the others, one by one."""

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.formats.field_kernels import find_relative
from vidsemi.data.formats.portable_paths import portable_column, portable_paths
from vidsemi.data.formats.row_rules import PARSERS, BrokenRowError, locate, tag_field, text_value
from vidsemi.data.hashtags.distinct import text_bytes
from vidsemi.data.hashtags.normalize import Reading, join_tags, read_text, split_tags, unique_tags
from vidsemi.data.hashtags.tag_lists import CAPTION, WORDS, TagReader, matches
from vidsemi.data.manifest_file import COLUMNS

INTEGER = r"^(-?[0-9]{1,18})?$"
NUMBER = r"^(-?[0-9]{1,15}(\.[0-9]{0,15})?)?$"


@dataclass
class TableBlock:
    """Rows of a table in two parts; their line numbers say how they follow each other."""

    numbers: np.ndarray  # (N,) int64 line numbers
    columns: dict[str, pa.Array]  # the N values of each column there is, by its name in `Rules.names`
    others: Sequence[tuple[int, Sequence[Any]]]  # line numbers, and values by name in the order of `Rules.names`
    broken: Sequence[tuple[int, str]] = ()  # line numbers, and what is wrong
    keys: AbstractSet[str] = frozenset()  # of JSON lines


@dataclass
class Rules:
    """What makes examples of rows."""

    names: Sequence[str]  # of all columns: path, id, label, hashtags, and the other ones of a manifest
    kept: Sequence[str]  # names of the manifest's columns; the others have no values
    folder: str  # that relative paths start from
    find: Callable[[str], str | None]  # the path of a file by its id
    vocabulary: AbstractSet[str] | None = None  # canonical tags of which an example must carry one
    in_captions: bool = False  # whether the column of tags is one of captions
    manifest: Path | None = None  # to store the paths for; without it relative ones just start from the folder

    @cached_property
    def prefix(self) -> str | None:
        """What a plain relative path becomes a path with; None if that depends on the path."""
        folder = os.path.join(self.folder, "")
        if self.manifest is None:
            return folder
        own, inner = os.path.join(os.path.abspath(folder), ""), os.path.join(self.manifest.parent.resolve(), "")
        is_above = own != inner and inner.startswith(own)  # a path may lead into the manifest's folder
        return None if is_above else portable_paths([f"{folder}x"], self.manifest)[0][:-1]

    @cached_property
    def reader(self) -> TagReader:
        """Reads columns of tags and knows the vocabulary."""
        return TagReader(sorted(self.vocabulary or ()))

    def wants(self, tags: Sequence[str]) -> bool:
        """Whether an example with these tags is one."""
        return self.vocabulary is None or not self.vocabulary.isdisjoint(tags)


@dataclass
class Examples:
    """The examples in a block, and what did not become one."""

    table: pa.Table  # columns of a manifest
    lines: np.ndarray  # (N,) int64
    missing: list[str] = field(default_factory=list)  # ids of files that do not exist
    broken: list[tuple[int, str]] = field(default_factory=list)
    left_out: int = 0  # without a tag of the vocabulary
    captions: int = 0  # rows of which only the words behind a # are tags
    unsure: int = 0  # rows that are tags, or captions if the column is one of captions
    keys: AbstractSet[str] = frozenset()  # of JSON lines


def examples_of(read: Callable[[], TableBlock], rules: Rules) -> Examples:
    """The examples in a block of rows, in the order of their lines."""
    block = read()
    found = Examples(pa.table({}), np.zeros(0, np.int64), broken=[*block.broken], keys=block.keys)
    columns, others = block.columns, block.others
    relative, are_direct = np.zeros(len(block.numbers), bool), False
    if "path" in columns:
        are_direct = find_relative(*text_bytes(columns["path"]), relative)
        relative &= columns["path"].is_valid().to_numpy(zero_copy_only=False)
    plain = _plain(columns, relative)
    if not plain.all():
        rest = ~plain
        values = [_values(columns.get(name), rest) for name in rules.names]
        others = [*others, *zip(block.numbers[rest].tolist(), zip(*values, strict=True), strict=True)]
        columns = {name: values.filter(pa.array(plain)) for name, values in columns.items()}
    lines = block.numbers[plain]
    if "hashtags" in columns or rules.vocabulary is not None:
        tags = columns.get("hashtags", pa.nulls(len(lines), pa.string()))
        hashtags, kept = _read_tags(tags, rules, found)
    else:
        hashtags, kept = pa.nulls(len(lines), pa.string()), np.ones(len(lines), bool)
    rows = [_arrays(columns, hashtags, rules, are_direct=are_direct and bool(relative.all()))] if len(lines) else []
    if not kept.all():
        rows = [[values.filter(pa.array(kept)) for values in arrays] for arrays in rows]
        lines = lines[kept]
    if others:
        own_lines, own = _other_rows(others, rules, found)
        rows.append(own)
        lines = np.concatenate([lines, np.array(own_lines, np.int64)])
    schema = pa.schema([(name, COLUMNS[name]) for name in rules.kept])
    tables = [pa.Table.from_arrays(arrays, schema=schema) for arrays in rows]
    found.table = pa.concat_tables(tables) if tables else schema.empty_table()
    if others:
        order = np.argsort(lines)
        found.table, lines = found.table.take(pa.array(order)), lines[order]
    found.lines = lines
    return found


def _plain(columns: dict[str, pa.Array], relative: np.ndarray) -> np.ndarray:
    """Which rows need no rule, (N,) bool; `relative` says which have a path that `find_relative` found."""
    if "path" not in columns:
        return np.zeros(len(relative), bool)
    plain = relative if relative.all() else matches(columns["path"], r"^[^\\\x00]+$")
    for name, values in columns.items():
        if name in ("path", "id"):
            continue
        if pa.types.is_list(values.type):
            plain &= values.flatten().null_count == 0
        elif pa.types.is_string(values.type) and name in ("label", "group", "member"):
            plain &= ~matches(values, r"\x00")
        elif pa.types.is_string(values.type) and name != "hashtags":
            pattern = INTEGER if pa.types.is_integer(COLUMNS[name]) else NUMBER
            plain &= matches(values, pattern) | pc.is_null(values).to_numpy(zero_copy_only=False)
        elif pa.types.is_floating(values.type):
            fine = pc.and_(pc.is_finite(values), pc.less(pc.abs(values), 2.0**63))
            plain &= pc.fill_null(fine, True).to_numpy(zero_copy_only=False)
    return plain


def _values(values: pa.Array | None, chosen: np.ndarray) -> list[Any]:
    return [None] * int(chosen.sum()) if values is None else values.filter(pa.array(chosen)).to_pylist()


def _read_tags(fields: pa.Array, rules: Rules, found: Examples) -> tuple[pa.Array, np.ndarray]:
    """The tags as a manifest stores them, and which rows carry one of the vocabulary, (N,) bool."""
    read = rules.reader.read(fields)
    found.captions += int(np.count_nonzero(read.readings == CAPTION))
    found.unsure += int(np.count_nonzero(read.readings == WORDS))
    kept = np.ones(len(fields), bool)
    lists = [read, rules.reader.read(fields, in_captions=True)] if rules.in_captions else [read]
    if rules.vocabulary is not None:
        for tags in lists:
            kept &= tags.carry_known()
    found.left_out += int(np.count_nonzero(~kept))
    return lists[-1].fields(), kept


def _arrays(columns: dict[str, pa.Array], hashtags: pa.Array, rules: Rules, *, are_direct: bool) -> list[pa.Array]:
    """Columns of a manifest from those of rows that need no rule."""
    arrays = []
    for name in rules.kept:
        if name == "hashtags":
            arrays.append(hashtags)
        elif name == "path":
            arrays.append(_paths(columns["path"], rules, are_direct=are_direct))
        elif name in columns:
            values = columns[name]
            if pa.types.is_string(values.type):
                values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
            arrays.append(values.cast(COLUMNS[name]))
        else:
            arrays.append(pa.nulls(len(hashtags), COLUMNS[name]))
    return arrays


def _paths(paths: pa.Array, rules: Rules, *, are_direct: bool) -> pa.Array:
    """Paths that start from the folder, but for absolute ones and URIs."""
    if are_direct and rules.prefix is not None:
        return pc.binary_join_element_wise(rules.prefix, paths, "") if rules.prefix else paths
    own = matches(paths, "^/|://")
    joined = pc.binary_join_element_wise(os.path.join(rules.folder, ""), paths, "")
    return _stored(pc.if_else(pa.array(own), paths, joined), rules)


def _stored(paths: pa.Array, rules: Rules) -> pa.Array:
    return paths if rules.manifest is None else portable_column(paths, rules.manifest)


def _other_rows(
    others: Sequence[tuple[int, Sequence[Any]]], rules: Rules, found: Examples
) -> tuple[list[int], list[pa.Array]]:
    """Line numbers and columns of the examples in rows that need rules."""
    lines: list[int] = []
    columns: list[list[Any]] = [[] for name in rules.names if name != "id"]
    for number, (path, name, label, own_tags, *rest) in others:
        try:
            path = locate(path, name, rules.folder, rules.find)
            if path is None:
                found.missing.append(str(name))
                continue
            tags, kept = _own_tags(tag_field(own_tags), rules, found)
            if not kept:
                found.left_out += 1
                continue
            if rest.count(None) < len(rest):  # most tables have none of these columns
                rest = [parse(value, what) for (what, parse), value in zip(PARSERS.items(), rest, strict=True)]
            values = [path, text_value(label, "label"), join_tags(tags) or None, *rest]
        except BrokenRowError as error:
            found.broken.append((number, str(error)))
            continue
        lines.append(number)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    names = [name for name in rules.names if name != "id"]
    arrays = {name: pa.array(values, COLUMNS[name]) for name, values in zip(names, columns, strict=True)}
    arrays["path"] = _stored(arrays["path"], rules)
    return lines, [arrays[name] for name in rules.kept]


def _own_tags(field: str | list[str] | None, rules: Rules, found: Examples) -> tuple[list[str], bool]:
    """The tags of a row, and whether one of the vocabulary is among them."""
    if not isinstance(field, str):
        tags = split_tags(field)
        return tags, rules.wants(tags)
    raw, reading = read_text(field)
    found.captions += reading is Reading.CAPTION
    found.unsure += reading is Reading.WORDS
    tags = unique_tags(raw)
    kept = rules.wants(tags)
    if rules.in_captions and reading is Reading.WORDS:
        tags = unique_tags(read_text(field, in_captions=True)[0])
        kept &= rules.wants(tags)
    return tags, kept
