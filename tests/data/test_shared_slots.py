"""Arrays in shared memory: received unchanged, in slots that are reused only when nothing refers to them."""

import multiprocessing
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data import shared_slots
from vidsemi.data.shared_slots import MAX_SLOTS, MIN_BYTES, SlotReader, SlotWriter

pytestmark = pytest.mark.skipif(not shared_slots.SUPPORTED, reason="the system has no anonymous files")


class Link:
    """Both sides in one process."""

    def __init__(self) -> None:
        self.theirs, self.ours = multiprocessing.Pipe()
        self.writer, self.reader = SlotWriter(), SlotReader()

    def hand_over(self, array: np.ndarray) -> np.ndarray:
        self.writer.release(self.reader.released())
        self.writer.send(self.theirs, array)
        return self.reader.receive(self.ours, self.ours.recv())


def filled(value: int, size: int = MIN_BYTES) -> np.ndarray:
    return np.full(size, value, np.uint8)


@given(st.lists(st.tuples(st.sampled_from([1, MIN_BYTES - 1, MIN_BYTES, 100_000]), st.integers(0, 5)), max_size=40))
def test_arrays_that_are_kept_do_not_change(steps: list[tuple[int, int]]):
    """Each array is kept while some more are handed over. Arrays that fit into the pipe's buffer may use it."""
    link, kept = Link(), []
    for number, (size, more) in enumerate(steps):
        array = filled(number % 256, size)
        kept.append((link.hand_over(array) if len(kept) < MAX_SLOTS else array, array, number + more))
        for received, sent, _ in kept:
            assert np.array_equal(received, sent)
        kept = [entry for entry in kept if entry[2] > number]


def test_type_and_shape_are_kept():
    array = np.random.default_rng(0).normal(size=(3, 5, 4000)).astype(np.float32)
    received = Link().hand_over(array)
    assert received.dtype == array.dtype and np.array_equal(received, array)


def test_a_slot_is_reused_when_the_last_view_of_its_array_is_gone():
    link = Link()
    first = link.hand_over(filled(1))
    view = torch.from_numpy(first[10:])
    del first
    second = link.hand_over(filled(2))
    assert view.unique().tolist() == [1] and len(link.reader._slots) == 2
    del view, second
    for value in range(3, 20):
        assert np.array_equal(link.hand_over(filled(value)), filled(value))
    assert len(link.reader._slots) == 2


def test_arrays_in_slots_are_not_copied_by_the_reader():
    link = Link()
    addresses = {link.hand_over(filled(value)).ctypes.data for value in range(5)}
    assert len(addresses) == 1


def test_slots_and_open_files_are_bounded():
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))

    link = Link()
    before = open_files()
    kept = [link.hand_over(filled(value)) for value in range(MAX_SLOTS)]
    assert all(a.ctypes.data != b.ctypes.data for a, b in pairwise(kept))
    small = link.hand_over(filled(9, 100))  # through the pipe
    assert small.tolist() == [9] * 100 and len(link.reader._slots) == MAX_SLOTS
    # a mapping keeps a file of its own open, on each side
    assert open_files() - before <= 2 * MAX_SLOTS
