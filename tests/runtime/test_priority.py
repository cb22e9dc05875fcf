"""The priority of readers: nice where they have the cores to themselves, normal where others starve them."""

import os
import subprocess
import sys
import threading

import psutil
import pytest

from vidsemi.runtime.priority import FIRST_TRY, LAST_TRY, NICENESS, STARVED, WINDOW, Priority, Reader, cpu_seconds

linux = pytest.mark.skipif(sys.platform != "linux", reason="niceness belongs to a thread on Linux only")


def niceness() -> tuple[int, int]:
    return threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@linux
def test_a_reader_is_nice_until_it_starves():
    priority = Priority()
    reader, own = Reader(priority), niceness()
    thread, nice = reader(niceness)
    assert nice == NICENESS and thread != own[0]
    priority.update(WINDOW, 0.0, now=0.0)
    assert reader(niceness) == own
    priority.update(0.0, 0.0, now=FIRST_TRY)
    assert reader(niceness) == (thread, NICENESS)


def test_readers_that_get_their_share_stay_nice():
    priority = Priority()
    for now in range(100):
        priority.update(WINDOW, 1.01 * STARVED * WINDOW, float(now))
        assert not priority.normal


def test_short_waits_add_up():
    priority = Priority()
    for step in range(20):
        assert not priority.normal
        priority.update(WINDOW / 20 + 1e-9, 0.0, float(step))
    assert priority.normal


def test_niceness_is_tried_again_at_growing_intervals_until_it_succeeds():
    priority, now, pauses = Priority(), 0.0, []
    for _ in range(12):
        priority.update(WINDOW, 0.0, now)
        begin = now
        while priority.normal:
            now += 1.0
            priority.update(1.0, 1.0, now)
        pauses.append(now - begin)
    assert pauses[:3] == [FIRST_TRY, 2 * FIRST_TRY, 4 * FIRST_TRY]
    assert pauses[-1] == LAST_TRY == max(pauses)
    priority.update(WINDOW, WINDOW, now)  # the other programs are gone
    priority.update(WINDOW, 0.0, now)
    priority.update(0.0, 0.0, now + FIRST_TRY)
    assert not priority.normal


def test_cpu_time_of_processes_counts_and_of_dead_ones_does_not():
    own, child = psutil.Process(), subprocess.Popen([sys.executable, "-c", ""])
    dead = psutil.Process(child.pid)
    child.wait()
    before = cpu_seconds([own])
    while cpu_seconds([own]) < before + 0.05:
        sum(range(10_000))
    assert before + 0.05 <= cpu_seconds([own, dead]) <= cpu_seconds([own])


@linux
def test_errors_of_the_nice_thread_arrive():
    with pytest.raises(ZeroDivisionError):
        Reader(Priority())(lambda: 1 / 0)
