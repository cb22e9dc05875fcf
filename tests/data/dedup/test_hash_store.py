"""Hashes in a file instead of memory: the same ones, whatever the size of the pieces."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.dedup.test_duplicates import hashes_of, listed
from vidsemi.data.dedup import duplicates, hash_store
from vidsemi.data.dedup.duplicates import Hashes, duplicates_of
from vidsemi.data.dedup.hash_files import _ExamplesByKey, _numbers
from vidsemi.data.dedup.hash_store import RECORD, HashStore


def stored(folder: Path, hashes: Hashes, piece: int) -> HashStore:
    store = HashStore(folder)
    for begin in range(0, len(hashes), piece):
        part = hashes.take(slice(begin, begin + piece))
        records = np.zeros(len(part), RECORD)
        for name in RECORD.names or ():
            records[name] = getattr(part, name)
        store.append(records)
    return store


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 50), st.integers(1, 50), st.data())
def test_what_is_stored_is_what_is_taken(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, piece: int, at_once: int, data: st.DataObject
):
    hashes = hashes_of(seed, count)
    folder = tmp_path_factory.mktemp("hashes")
    store = stored(folder, hashes, piece)
    assert not list(folder.iterdir())  # nothing that a killed command could leave
    numbers = np.array(sorted(data.draw(st.sets(st.integers(0, max(count - 1, 0)))) if count else []), np.int64)
    begin = data.draw(st.integers(0, count))
    with patch.object(hash_store, "WINDOW", at_once):
        for examples in (numbers, slice(begin, begin + 5), slice(None)):
            taken, wanted = store.take(examples), hashes.take(examples)
            for name in RECORD.names or ():
                assert np.array_equal(getattr(taken, name), getattr(wanted, name))
    kinds = np.where(hashes.is_image, 1, 3)
    assert store.flat == int((np.count_nonzero(hashes.frames, axis=1) < kinds).sum())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from([1, 5, 1000]))
def test_only_kept_examples_of_a_store_are_searched(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, at_once: int
):
    hashes, tests = hashes_of(seed, count), hashes_of(seed + 1, 10)
    store = stored(tmp_path_factory.mktemp("hashes"), hashes, 7)
    kept = np.random.default_rng(seed).random(count) < 0.6
    left = np.flatnonzero(kept)
    wanted = listed(duplicates_of(hashes.take(left), tests, 2).renumbered(left))
    with patch.object(duplicates, "AT_ONCE", at_once):
        assert listed(duplicates_of(store, tests, 2, kept)) == wanted


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)))
)
def test_keys_are_found_wherever_they_are_equal(keys: list[tuple[int, int]], wanted: list[tuple[int, int]]):
    """Also keys of several examples, keys whose first halves are equal, and columns in several chunks."""
    binaries = [np.array(key, np.uint64).tobytes() for key in wanted]
    column = pa.chunked_array([pa.array(part, pa.binary(16)) for part in (binaries[:2], [], binaries[2:])])
    places, rows = _ExamplesByKey(np.array(keys, np.uint64).reshape(-1, 2)).find(
        _numbers(column.slice(1)).reshape(-1, 2)
    )
    found = sorted(zip(rows.tolist(), places.tolist(), strict=True))
    assert found == [(i, j) for i, one in enumerate(wanted[1:]) for j, key in enumerate(keys) if one == key]
