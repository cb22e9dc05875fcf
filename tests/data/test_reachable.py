"""A file that is gone against a disk or server that is gone: which errors count, and what is read again."""

import http.server
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data import reachable
from vidsemi.data.look import Look, first_reachable
from vidsemi.data.manifest import Row
from vidsemi.data.reachable import Reachability, Rows, read_reachable
from vidsemi.io.errors import DecodeError


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten looks, without a pause."""
    monkeypatch.setattr(reachable, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 0.2)


def files(folder: Path, *names: str) -> list[Row]:
    """Rows of files, with their names as their content."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return [Row(number, str(folder / name)) for number, name in enumerate(names)]


def read_text(row: Row) -> str:
    try:
        return Path(row.path).read_text()
    except OSError as error:
        raise DecodeError.from_os_error(row.path, error) from None


def read(rows: list[Row], before: dict[int, Callable[[], object]] | None = None) -> Iterator[str]:
    """Read rows in this process; do something just before a row is read. Failures are their reasons."""

    def ordered() -> Iterator[Row]:
        for row in rows:
            (before or {}).get(row.example_id, lambda: None)()
            yield row

    with closing(read_reachable(read_text, ordered(), Rows(rows), workers=0, seconds=60)) as results:
        for result in results:
            yield result.reason if isinstance(result, DecodeError) else result


def test_missing_files_are_failures_while_others_are_there(tmp_path: Path):
    rows = files(tmp_path, "a", "b", "c", "d")
    for name in "ad":
        (tmp_path / name).unlink()
    assert list(read(rows)) == ["No such file or directory", "b", "c", "No such file or directory"]


def away(folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that take a folder away and bring it back."""
    other = folder.with_name("away")
    return partial(os.rename, folder, other), partial(os.rename, other, folder)


def test_a_disk_that_comes_back_costs_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    rows = files(tmp_path / "disk", *"abcdef")
    leave, come_back = away(tmp_path / "disk")
    looks = []

    def rest(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            come_back()

    monkeypatch.setattr(reachable.time, "sleep", rest)
    with caplog.at_level(logging.WARNING, logger="vidsemi"):
        assert list(read(rows, {2: leave})) == list("abcdef")
    assert len(looks) == 3
    (line,) = caplog.messages
    assert str(tmp_path / "disk" / "c") in line and "0.2 s" in line


@pytest.mark.parametrize("link", [False, True])
def test_a_disk_that_stays_away_stops_the_reader(tmp_path: Path, link: bool):
    """Whether its folder is gone, or a link to it leads nowhere."""
    rows = files(tmp_path / "disk", *"abc")
    leave, _ = away(tmp_path / "disk")
    if link:
        (tmp_path / "mounted").symlink_to(tmp_path / "disk")
        rows = [Row(row.example_id, row.path.replace("/disk/", "/mounted/")) for row in rows]
    results = read(rows, {1: leave})
    assert next(results) == "a"
    with refused("files.unreachable", rows[1].path, "No such file", "0 s"):
        next(results)


def test_one_disk_of_two_that_goes_away_is_noticed(tmp_path: Path):
    """Though files of the other one can be reached."""
    mixed = [*files(tmp_path / "one", *"ab"), *files(tmp_path / "two", *"cdef")]
    rows = [Row(number, mixed[place].path) for number, place in enumerate((0, 2, 3, 1, 4, 5))]
    leave, _ = away(tmp_path / "two")
    results = read(rows, {4: leave})
    assert [next(results) for _ in range(4)] == ["a", "c", "d", "b"]
    with refused("files.unreachable", "two/e"):
        next(results)


def test_files_that_are_removed_once_they_are_read_are_no_outage(tmp_path: Path):
    """As by a job that frees space: the next files are there. A tar counts once, whatever is read of it."""
    rows = files(tmp_path, *"abcdefghij")
    remove = [partial(os.unlink, row.path) for row in rows]
    before = {5: lambda: [one() for one in remove[:5]], 7: remove[7], 9: remove[9]}
    assert list(read(rows, before)) == [*"abcdefg", "No such file or directory", "i", "No such file or directory"]
    tars = [Row(number, str(tmp_path / "ab"[number // 8]), None, None, f"{number}.mp4", 0, 1) for number in range(16)]
    files(tmp_path, "a", "b")
    assert list(read(tars, {12: partial(os.unlink, tmp_path / "b")})) == [
        *"a" * 8,
        *"b" * 4,
        *["No such file or directory"] * 4,
    ]


def test_a_folder_without_any_file_is_missing_while_its_neighbor_is_there(tmp_path: Path):
    rows = [*files(tmp_path / "one", "a"), Row(1, str(tmp_path / "two" / "b")), Row(2, str(tmp_path / "two" / "c"))]
    assert list(read(rows)) == ["a", "No such file or directory", "No such file or directory"]


def test_a_wrong_root_is_noticed_at_the_first_file(tmp_path: Path):
    begun = []
    rows = [Row(number, f"/nowhere/{number}") for number in range(5000)]

    def begin(row: Row) -> str:
        begun.append(row)
        return read_text(row)

    with refused("files.none_reachable", "none of 1000", "/nowhere/0", "No such file", "--root"):
        next(read_reachable(begin, rows, Rows(rows), workers=0, seconds=60))
    assert len(begun) == 1


def test_a_single_file_that_is_there_is_found(tmp_path: Path):
    rows = [Row(number, f"/nowhere/{number}") for number in range(999)] + files(tmp_path, "a")
    assert list(read(rows))[-2:] == ["No such file or directory", "a"]


def test_files_that_others_read_stand_for_those_that_were_not_read_here(tmp_path: Path):
    """Nothing is waited for: this reader has read nothing yet."""
    there = files(tmp_path, "a")
    disk = Reachability(Rows([Row(0, "/nowhere/b")]), lambda row: there)
    error = DecodeError("file.unreadable", "/nowhere/b", "gone")
    assert disk.confirm(Row(0, "/nowhere/b"), error, lambda: error) is error
    os.unlink(there[0].path)
    with refused("files.unreachable", "/nowhere/b", "gone", "--root"):
        disk.confirm(Row(0, "/nowhere/b"), error, lambda: error)


def test_a_file_with_a_bad_sector_is_a_failure(tmp_path: Path):
    """It is there, and reading it fails time and again."""
    good, bad = files(tmp_path, "a", "b")
    tries = []

    def fail() -> DecodeError:
        tries.append(1)
        return DecodeError("file.unreadable", bad.path, "Input/output error")

    disk = Reachability(Rows([good, bad]))
    disk.was_read(good)
    assert disk.confirm(bad, fail(), fail).reason == "Input/output error"
    assert len(tries) == 2


def test_a_file_that_takes_too_long_is_read_again_only_after_an_outage(tmp_path: Path):
    good, slow = files(tmp_path, "a", "b")
    error = DecodeError("worker.timeout", slow.path, "too long")
    here = [True]
    disk = Reachability(Rows([good]), look=lambda look: first_reachable(look) if here.pop() else None)
    disk.was_read(good)
    assert disk.confirm(slow, error, lambda: "b") is error
    here[:] = [True, True, False, False]  # neither what was read nor its neighbors, at first
    assert disk.confirm(slow, error, lambda: "b") == "b"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(2, 4)), max_size=4))
def test_outages_make_no_failure_of_a_file_that_is_there(outages: list[tuple[int, int]]):
    """Whichever looks and readings they fall on, if none is so short that one look alone falls on it."""
    left = iter([state for up, down in outages for state in [True] * up + [False] * down])

    def here() -> bool:
        return next(left, True)

    error = DecodeError("file.unreadable", "/d/b", "gone")
    disk = Reachability(Rows([]), look=lambda look: look.rows[0] if here() else None)
    disk.was_read(Row(0, "/d/a"))
    assert disk.confirm(Row(1, "/d/b"), error, lambda: "b" if here() else error) == "b"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves /NAME with its name as the content, but not what is in `missing`."""

    missing: Iterable[str] = ()
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        name = self.path.lstrip("/")
        self.send_response(404 if name in self.missing else 200)
        self.end_headers()
        self.wfile.write(name.encode())

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", handler
        running.shutdown()
        thread.join()


def test_a_server_that_misses_a_file_against_one_that_misses_all(server: tuple[str, type[Server]]):
    address, handler = server
    rows = [Row(number, f"{address}/{name}") for number, name in enumerate("abc")]
    handler.missing = "b"
    error = DecodeError("file.not_served", rows[1].path, "404")
    disk = Reachability(Rows(rows))
    assert disk.confirm(rows[1], error, lambda: error) is error  # found /a
    seen = handler.requests
    assert disk.confirm(rows[1], error, lambda: error) is error
    assert handler.requests == seen  # within a second of the last look
    disk.was_read(rows[0])
    handler.missing = "abc"
    disk._answered.clear()
    with refused("files.unreachable", rows[1].path, "404"):
        disk.confirm(rows[1], error, lambda: error)


def test_looks_do_not_wait_for_pipes_or_trust_folders_to_be_files(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert first_reachable(Look((Row(0, str(tmp_path / "gone")), Row(1, str(tmp_path / "pipe"))))) == Row(
        1, str(tmp_path / "pipe")
    )
    assert first_reachable(Look((Row(0, str(tmp_path / "gone")), Row(1, "https://[/")))) is None


@pytest.mark.slow
def test_in_processes_as_in_this_one(tmp_path: Path):
    rows = files(tmp_path / "disk", *"abcdefgh")
    (tmp_path / "disk" / "c").unlink()
    with closing(read_reachable(read_text, rows, Rows(rows), workers=2, seconds=60, prefetch=3)) as results:
        assert [getattr(result, "reason", result) for result in results] == [
            *"ab",
            "No such file or directory",
            *"defgh",
        ]
    leave, _ = away(tmp_path / "disk")
    with closing(read_reachable(read_text, rows, Rows(rows), workers=2, seconds=60, prefetch=3)) as results:
        assert [next(results) for _ in range(2)] == ["a", "b"]
        leave()
        with refused("files.unreachable", "No such file"):
            list(results)
