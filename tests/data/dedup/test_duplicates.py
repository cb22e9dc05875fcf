"""Near and exact duplicates of hashes, compared with an all-pairs search."""

import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.data.dedup import duplicates, hamming
from vidsemi.data.dedup.duplicates import (
    FRAMES,
    MIN_MATCHING_FRAMES,
    Duplicates,
    Hashes,
    duplicates_of,
)
from vidsemi.data.dedup.hamming import BITS, MOST_BLOCKS, masks, near_pairs
from vidsemi.data.dedup.nearest import nearest
from vidsemi.data.dedup.within import duplicates_within

Found = list[tuple[int, int, int, int]]


def bits_apart(one: np.ndarray, other: np.ndarray, alike: int) -> int:
    """The least distance at which enough hashes of two rows are near; 99 if there is none."""
    known = sorted(int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True) if a and b)
    return known[alike - 1] if len(known) >= alike else 99


def hashes_of(seed: int, count: int) -> Hashes:
    """Examples of a few contents and looks, with trims, unread files, black frames."""
    rng = np.random.default_rng(seed)
    content = np.stack([rng.integers(1, 6, count), rng.integers(0, 2, count)], 1).astype(np.uint64)
    content[rng.random(count) < 0.1] = 0
    trim = np.stack([rng.choice([-np.inf, 0, 1, 2.0], count), rng.choice([1.5, 2.5, np.inf], count)], 1)
    frames = np.random.default_rng(7).integers(1, 2**63, (12, FRAMES), dtype=np.uint64)[rng.integers(0, 12, count)]
    for _ in range(3):
        flips = np.uint64(1) << rng.integers(0, BITS, frames.shape, dtype=np.uint64)
        frames = frames ^ np.where(rng.random(frames.shape) < 0.6, flips, np.uint64(0))
    frames[rng.random(frames.shape) < 0.25] = 0
    is_image = rng.random(count) < 0.5
    frames[is_image, 1:] = 0
    return Hashes(content, trim, frames, is_image)


def relations(one: Hashes, i: int, other: Hashes, j: int, distance: int) -> list[tuple[int, int]]:
    """(kind, distance) of all that makes two examples duplicates, by the definition."""
    found = []
    overlap = max(one.trim[i, 0], other.trim[j, 0]) < min(one.trim[i, 1], other.trim[j, 1])
    same = (one.content[i] == other.content[j]).all() and one.content[i].any()
    if same and (overlap or (one.trim[i] == other.trim[j]).all()):
        found.append((0, 0))
    bits = bits_apart(one.frames[i], other.frames[j], 1 if one.is_image[i] else MIN_MATCHING_FRAMES)
    if one.is_image[i] == other.is_image[j] and bits <= distance:
        found.append((1, bits))
    return found


def listed(found: Duplicates) -> Found:
    columns = (found.example, found.of, found.kind, found.distance)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 50),
    st.integers(0, 30),
    st.sampled_from([0, 1, 2, 4]),
    st.sampled_from([1, 7, duplicates.AT_ONCE]),
)
def test_duplicates_of_others_are_those_of_all_pairs(seed: int, count: int, others: int, distance: int, at_once: int):
    dataset, test = hashes_of(seed, count), hashes_of(seed + 1, others)
    wanted = []
    for i in range(count):
        if found := [(*one, j) for j in range(others) for one in relations(dataset, i, test, j, distance)]:
            kind, bits, j = min(found)
            wanted.append((i, j, kind, bits))
    with patch.object(duplicates, "AT_ONCE", at_once):
        assert listed(duplicates_of(dataset, test, distance)) == wanted


def removed_within(dataset: Hashes, distance: int) -> Found:
    """What is removed, of all pairs: in order, for the nearest row that stays; but copies share the fate of the first.

    Copies are rows with equal hashes.
    """
    gone: dict[int, tuple[int, int, int, int]] = {}
    for kind in (0, 1):
        left = [i for i in range(len(dataset)) if i not in gone]
        first_of: dict[bytes, int] = {}
        for i in left:
            key = dataset.frames[i].tobytes() + bytes(dataset.is_image[i])
            first = first_of.setdefault(key, i)
            known = relations(dataset, i, dataset, i, 0)
            if kind == 1 and first < i and (1, 0) in known:
                gone[i] = (i, *gone[first][1:]) if first in gone else (i, first, 1, 0)
                continue
            found = [
                (bits, j)
                for j in left[: left.index(i)]
                if j not in gone
                for how, bits in relations(dataset, j, dataset, i, distance)
                if how == kind
            ]
            if found:
                bits, j = min(found)
                gone[i] = (i, j, kind, bits)
    return [gone[i] for i in sorted(gone)]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(1, 1), (5, 3), (3, 3)]),
    st.integers(0, 12),
    st.booleans(),
    st.sampled_from([2, hamming.LARGE_RUN]),
)
@pytest.mark.slow
def test_near_pairs_are_those_of_all_pairs(seed: int, shape: tuple[int, int], distance: int, within: bool, large: int):
    places, alike = shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 2**63, (5, places), dtype=np.uint64)[rng.integers(0, 5, 40)]
    for _ in range(distance):
        rows = rows ^ (np.uint64(1) << rng.integers(0, BITS, rows.shape, dtype=np.uint64))
    rows[rng.random(rows.shape) < 0.1] = 0
    others = rows if within else rows[::3].copy()
    wanted = [
        (i, j, bits)
        for i in range(len(rows))
        for j in range(i + 1 if within else 0, len(others))
        if (bits := bits_apart(rows[i], others[j], alike)) <= distance
    ]
    with patch.object(hamming, "LARGE_RUN", large), patch.object(hamming, "FINER_RUN", large):
        found = near_pairs(rows, None if within else others, max_distance=distance, min_matches=alike)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == wanted


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(1, 1), (5, 3), (3, 3), (4, 2)]),
    st.integers(0, 12),
    st.sampled_from([2, hamming.LARGE_RUN]),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_the_nearest_row_is_the_best_of_all_pairs(
    seed: int, shape: tuple[int, int], distance: int, large: int, threads: int, ordered: bool
):
    places, alike = shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 2**63, (5, places), dtype=np.uint64)[rng.integers(0, 5, 60)]
    for _ in range(distance):
        rows = rows ^ (np.uint64(1) << rng.integers(0, BITS, rows.shape, dtype=np.uint64))
    rows[rng.random(rows.shape) < 0.1] = 0
    rows, others = rows[: rng.integers(61)], rows[rng.integers(0, 60, rng.integers(30))]
    before = rng.integers(0, len(others) + 1, len(rows)) if ordered else None
    wanted = []
    for place, row in enumerate(rows):
        end = len(others) if before is None else before[place]
        pairs = [(bits_apart(row, other, alike), number) for number, other in enumerate(others[:end])]
        bits, number = min(pairs, default=(99, 0))
        wanted.append((number, bits) if bits <= distance else (-1, 0))
    with patch.object(hamming, "LARGE_RUN", large), patch.object(hamming, "FINER_RUN", large):
        found = nearest(rows, others, max_distance=distance, min_matches=alike, before=before, threads=threads)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == wanted


@given(st.integers(0, 8), st.integers(1, 10**10), st.integers(0, 10**6))
@settings(deadline=None)
def test_hashes_that_differ_little_agree_in_a_mask(distance: int, rows: int, seed: int):
    tables = masks(distance, rows * rows / 2, rows)
    assert len(tables) == len(set(tables))
    flipped = sum(1 << int(bit) for bit in np.random.default_rng(seed).permutation(BITS)[:distance])
    assert any(mask & flipped == 0 for mask in tables)


def test_larger_corpora_have_finer_masks():
    fine = [min(mask.bit_count() for mask in masks(6, rows * rows / 2, rows)) for rows in (10**3, 10**6, 10**9)]
    assert fine == sorted(fine) and fine[0] < fine[-1] <= BITS * MOST_BLOCKS // (MOST_BLOCKS + 6) + 1


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pairs of rows that each join compares, as they come: those with equal keys."""
    numbers: list[int] = []
    join = hamming._join_equal_keys

    def counted(search: hamming._Search, left: hamming._Keys, right: hamming._Keys) -> np.ndarray:
        keys, counts = np.unique(left.keys, return_counts=True)
        other_counts = np.searchsorted(right.keys, keys, "right") - np.searchsorted(right.keys, keys)
        numbers.append(int(counts @ other_counts))
        return join(search, left, right)

    monkeypatch.setattr(hamming, "_join_equal_keys", counted)
    return numbers


@pytest.mark.parametrize("image", [True, False])
def test_very_many_copies_are_compared_once(image: bool, compared: list[int]):
    """All pairs of them would be 5e9."""
    count = 100_000
    frames = np.full((count, FRAMES), 12345, np.uint64)
    frames[:, 1:] *= not image
    content = np.arange(1, 2 * count + 1, dtype=np.uint64).reshape(-1, 2)
    dataset = Hashes(content, np.tile([-np.inf, np.inf], (count, 1)), frames, np.full(count, image))
    assert len(duplicates_within(dataset, 2)) == len(duplicates_of(dataset, dataset, 2)) - 1 == count - 1
    dataset.content[:] = 1
    assert duplicates_within(dataset, 2).count("exact") == count - 1
    assert sum(compared) < 1000


@pytest.mark.slow
def test_very_many_videos_with_one_logo_are_not_all_compared(compared: list[int]):
    """All pairs of them would be 2e9, in each of several tables."""
    count = 60_000
    frames = np.random.default_rng(0).integers(1, 2**63, (count, FRAMES), dtype=np.uint64)
    frames[:, 2] = 12345
    frames[-1, 3:] = frames[7, 3:]
    first, second, bits = near_pairs(frames, None, max_distance=2, min_matches=MIN_MATCHING_FRAMES)
    assert (first.tolist(), second.tolist(), bits.tolist()) == ([7], [count - 1], [0])
    first, second, _ = near_pairs(frames, frames[:10_000], max_distance=6, min_matches=MIN_MATCHING_FRAMES)
    assert len(first) == 10_001
    assert sum(compared) < 1e8


def test_black_frames_make_nothing_equal():
    frames = np.zeros((4, FRAMES), np.uint64)
    frames[2:, :2] = 99  # two informative frames of five are too few
    content = np.arange(1, 9, dtype=np.uint64).reshape(4, 2)
    dataset = Hashes(content, np.tile([-np.inf, np.inf], (4, 1)), frames, np.array([True, False, False, False]))
    assert len(duplicates_within(dataset, 6)) == len(duplicates_of(dataset, dataset, 6)) - 4 == 0
    assert duplicates_of(dataset, dataset, 6).count("near") == 0


def test_parts_of_a_file_that_share_no_moment_are_no_duplicates():
    def parts(*trims: tuple[float, float]) -> Hashes:
        count = len(trims)
        frames = np.zeros((count, FRAMES), np.uint64)
        return Hashes(np.ones((count, 2), np.uint64), np.array(trims, float), frames, np.zeros(count, bool))

    dataset = parts((0, 5), (5, 10), (9, 12), (20, np.inf), (-np.inf, np.inf))
    assert [row[:2] for row in listed(duplicates_within(dataset, 2))] == [(2, 1), (4, 0)]
    assert duplicates_of(dataset, parts((10, 11)), 2).example.tolist() == [2, 4]


@pytest.mark.parametrize("seconds", [1, 1e6])  # nothing overlaps, or everything
def test_parts_of_a_video_are_not_all_held_against_one_another(seconds: float):
    """All pairs of the parts of one video would be 1.8 million, and take 150 MB."""
    videos, parts = 5, 600
    begins = np.tile(np.arange(parts, dtype=float), videos)
    content = np.repeat(np.arange(1, 2 * videos + 1, dtype=np.uint64).reshape(-1, 2), parts, axis=0)
    count = len(content)
    trim = np.stack([begins, begins + seconds], 1)
    dataset = Hashes(content, trim, np.zeros((count, FRAMES), np.uint64), np.zeros(count, bool))
    tracemalloc.start()
    assert len(duplicates_within(dataset, 2)) == (0 if seconds == 1 else count - videos)
    partners = np.arange(count) if seconds == 1 else np.repeat(np.arange(videos) * parts, parts)
    assert duplicates_of(dataset, dataset, 2).of.tolist() == partners.tolist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
