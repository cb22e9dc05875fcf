"""Reading in worker processes: order, hangs, crashes, interrupts, and no process is left behind."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from vidsemi.data.manifest import Row
from vidsemi.data.worker_pool import FILES_PER_WORKER, read_all
from vidsemi.io.errors import DecodeError


def act(row: Row) -> str:
    """Do what the path says, as decoders sometimes do."""
    if row.path == "hang":
        ctypes.CDLL(None).pause()  # native code, which no Python handler interrupts
    elif row.path == "crash":
        ctypes.string_at(0)
    elif row.path == "exit":
        os._exit(7)
    elif row.path == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif row.path == "stumble":
        1 / 0  # noqa: B018
    elif row.path == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif row.path == "refuse":
        raise DecodeError("image.damaged", row.path, "damaged")
    return f"{row.path} by {os.getpid()}"


def rows(*paths: str) -> list[Row]:
    return [Row(number, path) for number, path in enumerate(paths)]


def outcomes(results: Iterator[str | DecodeError]) -> list[str]:
    """What was read, or the error's code; of a crash its cause."""

    def outcome(result: str | DecodeError) -> str:
        if isinstance(result, str):
            return result.split(" by ")[0]
        cause = re.search(r"\((.*)\)", result.reason)
        return f"{result.code} {cause[1]}" if cause else result.code

    return [outcome(result) for result in results]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int):
    names = [f"file{number}" for number in range(40)]
    paths = [*names[:20], "refuse", *names[20:]]
    assert outcomes(read_all(act, rows(*paths), workers=workers, seconds=60)) == [
        *names[:20],
        "image.damaged",
        *names[20:],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hang_or_a_crash_costs_one_file(workers: int):
    paths = ["a", "crash", "b", "hang", "exit", "c", "crash", "d", "hang"]
    assert outcomes(read_all(act, rows(*paths), workers=workers, seconds=2)) == [
        "a",
        "worker.crash SIGSEGV",
        "b",
        "worker.timeout",
        "worker.crash exit status 7",
        "c",
        "worker.crash SIGSEGV",
        "d",
        "worker.timeout",
    ]


def test_only_a_few_files_are_read_ahead():
    taken = []

    def files() -> Iterator[Row]:
        for number in range(10**6):
            taken.append(number)
            yield Row(number, "file")

    with closing(read_all(act, files(), workers=2, seconds=60)) as results:
        next(results)
        assert len(taken) <= 8


@pytest.mark.slow
def test_workers_are_replaced_after_many_files(monkeypatch: pytest.MonkeyPatch):
    assert FILES_PER_WORKER > 100
    monkeypatch.setattr("vidsemi.data.worker_pool.FILES_PER_WORKER", 3)
    results = list(read_all(act, rows(*["file"] * 10), workers=1, seconds=60))
    assert len({str(result).split(" by ")[1] for result in results}) == 4


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_costs_no_file():
    with closing(read_all(act, rows(*["file"] * 60), workers=1, seconds=60)) as results:
        for number, result in enumerate(results):
            assert isinstance(result, str)
            if number % 20 == 5:
                with suppress(ProcessLookupError):
                    os.kill(int(result.split(" by ")[1]), signal.SIGKILL)
    assert number == 59


def test_an_unexpected_exception_costs_one_file():
    assert outcomes(read_all(act, rows("a", "stumble", "b"), workers=1, seconds=60)) == [
        "a",
        "worker.exception",
        "b",
    ]


@pytest.mark.slow
def test_a_file_whose_worker_is_killed_every_time_is_a_failure():
    paths = ["a", "kill", "b"]
    assert outcomes(read_all(act, rows(*paths), workers=1, seconds=60)) == [
        "a",
        "worker.crash SIGKILL",
        "b",
    ]


def gone(pid: int, within: float = 60) -> bool:
    """Whether a process ends in time; it may be a zombie that nobody has waited for."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except FileNotFoundError:
            return True
        os.sched_yield()
    return False


OWN = "def own(row):\n    return act(row)\n"  # a reader that the workers have to import from the script
SCRIPTS = {
    "without a guard": f"{OWN}for result in read_all(own, rows('a', 'b'), workers=2, seconds=60):\n    print(result)\n",
    "cannot import": (
        f"{OWN}import os\nif __name__ != '__main__':\n    os._exit(3)\n"
        "list(read_all(own, rows('a'), workers=1, seconds=60))"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_workers_that_cannot_start_end_the_job(tmp_path: Path, name: str):
    head = f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\nfrom tests.data.test_worker_pool import act, rows\n"
    script = tmp_path / "script.py"
    script.write_text(f"{head}from vidsemi.data.worker_pool import read_all\n{SCRIPTS[name]}")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "processes that read files cannot start (exit status" in done.stderr


def fail_on_arrival(kind: type, text: str) -> None:
    raise kind(text)


class FailsOnArrival:
    """Can be pickled but not unpickled."""

    def __reduce__(self) -> tuple:
        return fail_on_arrival, (ZeroDivisionError, "on arrival")


def odd_results(row: Row) -> object:
    shapes = {"empty": np.zeros((0, 3)), "bool": np.ones((2, 2), bool), "strided": np.arange(10)[::2], "none": None}
    return FailsOnArrival() if row.path == "fails" else shapes[row.path]


def test_arrays_of_any_kind_are_received():
    names = ["empty", "bool", "strided", "none"]
    for name, result in zip(names, read_all(odd_results, rows(*names), workers=1, seconds=60), strict=True):
        expected = odd_results(Row(0, name))
        assert result is None if expected is None else np.array_equal(result, expected)


@pytest.mark.slow
def test_an_error_of_the_pool_ends_the_job():
    with pytest.raises(ZeroDivisionError, match="on arrival"):
        list(read_all(odd_results, rows("bool", "fails", "bool"), workers=1, seconds=60))


@pytest.mark.slow
def test_an_idle_worker_is_not_late():
    def files() -> Iterator[Row]:
        yield from rows("file", "file", "file", "file")
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            os.sched_yield()
        yield from rows("file", "file")

    results = list(read_all(act, files(), workers=1, seconds=2))
    assert len({str(result) for result in results}) == 1  # from the same process


@pytest.mark.slow
def test_a_stopped_worker_is_replaced(monkeypatch: pytest.MonkeyPatch):
    with closing(read_all(act, rows("a", "stop", "b"), workers=1, seconds=2, prefetch=1)) as results:
        assert outcomes(islice(results, 1)) == ["a"]  # the start of the first worker may take its time
        monkeypatch.setattr("vidsemi.data.worker_pool.GRACE", 3)
        assert outcomes(results) == ["worker.timeout", "b"]


JOB = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
sys.path.insert(0, {tests!r})
from tests.data.test_worker_pool import act, rows
from vidsemi.data.worker_pool import read_all
if __name__ == "__main__":
    for result in read_all(act, rows("a", "b", "c", "hang", "hang"), workers=2, seconds=600):
        print(result, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(tmp_path: Path, how: signal.Signals):
    """Even if all workers hang in native code."""
    script = tmp_path / "job.py"
    script.write_text(JOB.format(tests=str(REPOSITORY)))
    job = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stdout is not None
    workers = {int(job.stdout.readline().split(" by ")[1]) for _ in range(3)}
    group = {int(pid.name) for pid in Path("/proc").iterdir() if pid.name.isdigit() and of_session(pid, job.pid)}
    assert workers <= group
    os.kill(job.pid, how)
    assert job.wait(timeout=60) != 0
    assert all(gone(pid) for pid in group - {job.pid})


def of_session(pid: Path, session: int) -> bool:
    try:
        return int((pid / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session
    except (FileNotFoundError, ProcessLookupError):
        return False
