"""Duplicates within a dataset, out of core: the same ones for every size of memory, block and file."""

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.dedup.test_duplicates import hashes_of, listed, removed_within
from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.cli.options import error_line, memory_size
from vidsemi.data.dedup import candidates, greedy, within
from vidsemi.data.dedup.duplicates import FRAMES, Hashes
from vidsemi.data.dedup.equal_keys import DistinctKeys
from vidsemi.data.dedup.record_file import RecordFile, partitioned
from vidsemi.data.dedup.within import PROGRAM, duplicates_within


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Searches are content with less memory than real ones."""
    with patch.object(within, "LEAST", 1):
        yield


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([0, 1, 2, 4]), st.booleans())
def test_each_removed_example_duplicates_one_that_is_kept(
    data: st.DataObject, seed: int, count: int, distance: int, crowded: bool
):
    """With any sizes: of the memory, and so of files and pieces; of blocks; of what is compared pair by pair."""
    dataset = hashes_of(seed, count)
    if crowded:
        dataset.frames[:] &= np.uint64(0x0F0F)
    sizes = [
        (within, "BLOCK", [1, 7, 100]),
        (candidates, "BLOCK", [3, 100]),
        (candidates, "CROWDED", [1, 3, 2048]),
        (greedy, "FEW", [1, 5, 1024]),
        (greedy, "MOST_PAIRS", [0, 2]),
    ]
    work = data.draw(st.sampled_from([1500, 10_000, 1 << 26]))
    threads = data.draw(st.sampled_from([1, 3]))
    with ExitStack() as stack:
        for module, name, values in sizes:
            stack.enter_context(patch.object(module, name, data.draw(st.sampled_from(values))))
        found = duplicates_within(dataset, distance, memory=PROGRAM + 16 * count + work, threads=threads)
    assert listed(found) == removed_within(dataset, distance)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60))
def test_only_kept_examples_are_searched(seed: int, count: int):
    dataset = hashes_of(seed, count)
    kept = np.random.default_rng(seed).random(count) < 0.6
    before = kept.copy()
    left = np.flatnonzero(kept)
    wanted = listed(duplicates_within(dataset.take(left), 2).renumbered(left, left))
    assert listed(duplicates_within(dataset, 2, kept=kept)) == wanted
    assert np.array_equal(kept, before)


def planted(count: int, crowd: int) -> tuple[Hashes, np.ndarray]:
    """Videos that differ, among which each of the last `crowd` has the intro of the first and another end.

    Also returns the rows of a second kind: single near duplicates, with the rows that they duplicate.
    """
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 2**63, (count, FRAMES), dtype=np.uint64)
    frames[-crowd:, :3] = frames[0, :3] ^ (np.uint64(1) << rng.integers(0, 64, (crowd, 3), dtype=np.uint64))
    again = np.arange(10, count - crowd, 10)
    frames[again, 1:4] = frames[again - 7, 1:4] ^ np.uint64(0b11)
    content = np.arange(1, 2 * count + 1, dtype=np.uint64).reshape(-1, 2)
    dataset = Hashes(content, np.tile([-np.inf, np.inf], (count, 1)), frames, np.zeros(count, bool))
    return dataset, np.stack([again, again - 7])


@pytest.mark.slow
def test_an_intro_of_very_many_videos_does_not_take_all_their_pairs():
    """They would be 2e9, 50 GB."""
    count, crowd = 70_000, 60_000
    dataset, (again, of) = planted(count, crowd)
    found = duplicates_within(dataset, 2, threads=2)
    assert found.example.tolist() == [*again, *range(count - crowd, count)]
    assert found.of.tolist() == [*of, *[0] * crowd]
    assert found.distance[: len(again)].tolist() == [2] * len(again)
    assert found.distance[len(again) :].tolist() == [1] * crowd


def test_too_little_memory_is_refused_with_the_memory_that_is_needed():
    dataset = planted(1000, 10)[0]
    with refused("duplicates.too_little_memory", "1000 examples", "--memory 257M"):
        duplicates_within(dataset, 2, memory=PROGRAM)
    duplicates_within(dataset, 2, memory=257 << 20)


@pytest.mark.parametrize("memory", ["1", "1.5", "0x1M", "-1G", "1GB", "G", "1P", ""])
def test_a_memory_that_is_not_a_size_is_refused(memory: str, capsys: pytest.CaptureFixture[str]):
    words = ["manifest", "table", "u.csv", "--output", "v.csv", "--exclude-duplicates", f"--memory={memory}"]
    assert cli.main(words) == 2
    assert_refused(capsys.readouterr().err, "options.invalid", "--memory", memory)


@pytest.mark.parametrize(("text", "size"), [("1G", 1 << 30), ("1.5g", 3 << 29), ("700M", 700 << 20), ("2K", 2048)])
def test_sizes_of_memory(text: str, size: int):
    assert memory_size(text) == size


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40), st.integers(1, 9))
@settings(deadline=None)
def test_the_first_row_of_each_key_is_found_block_by_block(keys: list[tuple[int, int]], size: int):
    table = DistinctKeys(2)
    found: list[int] = []
    for begin in range(0, len(keys), size):
        block = np.array(keys[begin : begin + size], np.uint64).reshape(-1, 2)
        found += table.add(block, 100 + np.arange(begin, begin + len(block))).tolist()
    assert found == [100 + keys.index(key) for key in keys]
    assert list(map(tuple, table.keys.tolist())) == list(dict.fromkeys(keys))


@given(st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=5))
@settings(deadline=None)
def test_records_are_distributed_in_their_order(blocks: list[list[int]]):
    arrays = (np.array(block, np.int64) for block in blocks)
    files = partitioned(arrays, lambda block: (block % 3).astype(np.uint16), 3, None)
    for number, file in enumerate(files):
        with file:
            assert np.concatenate([np.zeros(0, np.int64), *file.blocks(2)]).tolist() == [
                one for block in blocks for one in block if one % 3 == number
            ]


def test_a_disk_that_fills_is_an_error_with_a_name(tmp_path: Path):
    """As the command line prints it."""
    full = patch("os.pwrite", side_effect=OSError(errno.ENOSPC, "No space left"))
    with RecordFile(tmp_path, np.int64) as file, full, pytest.raises(OSError, match="No space left") as caught:
        file.append(np.arange(3))
    assert error_line(caught.value) == f"{tmp_path}: No space left"


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.data.dedup.test_within import planted
from vidsemi.data.dedup import within
within.Greedy.behind = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
within.duplicates_within(planted(1000, 10)[0], 2, folder=Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_search_leaves_nothing(tmp_path: Path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_search_gives_its_disk_space_back(tmp_path: Path):
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    duplicates_within(planted(1000, 10)[0], 2, folder=tmp_path, memory=PROGRAM + 100_000)
    assert open_files() == before
