"""Repeated rows found by sorted hashes are those that comparing all rows finds."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.data.formats import repeats
from vidsemi.data.formats.repeats import RepeatFinder
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import COLUMNS, write_manifest

# Paths that differ in one byte, in their length, or in the top bits of two words of eight bytes.
PATHS = ["a", "b", "a" * 8, "a" * 9, "aaaaaaaéaaaaaaaé", "aaaaaaa\x7faaaaaaa\x7f", "", "é", "a" * 17, "a" * 16 + "b"]
row = st.fixed_dictionaries(
    {
        "path": st.sampled_from(PATHS),
        "start": st.sampled_from([None, 0.0, -0.0, 1.0]),
        "member": st.sampled_from([None, "", "m"]),
        "offset": st.sampled_from([None, 0, 5]),
        "label": st.sampled_from([None, "x", "y"]),
    }
)


def compared(rows: list[dict[str, Any]], unique: bool) -> tuple[int, tuple[int, int] | None]:
    """How many rows repeat one, and the first that may not, by comparing all."""
    seen: dict[tuple, int] = {}
    count, first_wrong = 0, None
    for number, own in enumerate(rows):
        first = seen.setdefault(tuple(own[name] for name in ("path", "start", "member", "offset")), number)
        if first != number:
            count += 1
            if first_wrong is None and (unique or own["label"] != rows[first]["label"]):
                first_wrong = (first, number)
    return count, first_wrong


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(row, max_size=6), max_size=6), st.booleans(), st.integers(1, 40))
def test_the_repeats_are_those_of_comparing_all_rows(
    tmp_path_factory: pytest.TempPathFactory, tables: list[list[dict[str, Any]]], unique: bool, run: int
):
    folder = tmp_path_factory.mktemp("t")
    schema = pa.schema([(name, COLUMNS[name]) for name in ("path", "start", "member", "offset", "label")])
    with mock.patch.object(repeats, "RUN", run), closing(RepeatFinder(folder)) as finder:
        for rows in tables:
            finder.add(pa.Table.from_pylist(rows, schema))
        found = finder.find(unique=unique)
    assert (found.count, found.first) == compared([own for rows in tables for own in rows], unique)
    assert not list(folder.iterdir())


@settings(max_examples=60, deadline=None)
@given(st.lists(row, max_size=8), st.lists(st.integers(0, 8), max_size=3), st.integers(1, 4))
def test_hashes_do_not_depend_on_the_pieces_that_rows_come_in(rows: list[dict[str, Any]], cuts: list[int], size: int):
    schema = pa.schema([(name, COLUMNS[name]) for name in ("path", "start", "member", "offset")])
    table, finder = pa.Table.from_pylist(rows, schema), RepeatFinder(None)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = pa.concat_tables(table.slice(start, stop - start) for start, stop in pairwise(bounds))
    with mock.patch.object(repeats, "SLICE", size):
        found = finder.hashes(pieces).tolist()
    assert found == [own for number in range(len(rows)) for own in finder.hashes(table.slice(number, 1)).tolist()]


def test_a_manifest_in_several_row_groups_has_the_rows_of_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from vidsemi.data import manifest_file
    from vidsemi.data.formats import scan
    from vidsemi.data.formats.scan import ScanResult

    paths = [f"v/{number}.mp4" for number in range(25)]
    found = ScanResult({"path": [str(tmp_path / path) for path in paths], "label": [str(n % 3) for n in range(25)]})
    write_manifest(tmp_path / "whole.parquet", {"path": paths, "label": found.columns["label"]})
    found.write(tmp_path / "one.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    monkeypatch.setattr(scan, "BLOCK", 4)
    monkeypatch.setattr(manifest_file, "GROUP", 10)
    document, _ = found.write(tmp_path / "many.parquet")
    assert (document["examples"], document["videos"], document["classes"]) == (25, 25, 3)
    assert load_manifest(tmp_path / "many.parquet").table.equals(load_manifest(tmp_path / "whole.parquet").table)
