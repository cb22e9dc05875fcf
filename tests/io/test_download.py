"""Downloads have limits, leave nothing behind, and never go to a folder that others can write."""

import http.server
import os
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from tests.helpers.servers import send, serve
from vidsemi.data.manifest import Row
from vidsemi.data.reachable import Rows, read_reachable
from vidsemi.data.read import locate
from vidsemi.data.video.container import Source
from vidsemi.data.worker_pool import read_all
from vidsemi.io import download
from vidsemi.io.download import AddressError, CacheError, cache_folder, fetch
from vidsemi.io.errors import DecodeError

asked: Counter[str] = Counter()


def answer(request: http.server.BaseHTTPRequestHandler) -> None:
    """Behave as the first part of the path says."""
    asked[request.path] += 1
    kind = request.path.split("/")[1]
    if kind == "missing":
        request.send_error(404)
    elif kind in ("endless", "slow"):
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(1 << 16))
    elif kind == "silent":
        request.send_response(200)
        request.end_headers()
        request.connection.recv(1)  # until the client gives up
    elif kind == "redirect":
        request.send_response(302)
        request.send_header("Location", "file:///etc/passwd")
        request.end_headers()
    else:
        lengths = {"cut": 100, "huge": 1 << 50}
        send(request, b"" if kind == "empty" else request.path.encode(), lengths.get(kind))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server; the cache is tmp_path/cache."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    asked.clear()
    with serve(answer) as address:
        yield address


def left(folder: Path) -> list[str]:
    """The names of all files in a cache."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once_and_kept(server: str, tmp_path: Path):
    names = ["a/b.mp4", "c/b.mp4", "b.mp4?x=1", "b.mp4?x=2", "%2e%2e/%2e%2e/b.mp4", "n" * 300, "a/", "ä.mp4"]
    addresses = [f"{server}/{name}" for name in names[:-1]]
    paths = [fetch(address) for address in addresses]
    assert len(set(paths)) == len(paths)
    for address, path in zip(addresses, paths, strict=True):
        assert Path(path).resolve().is_relative_to(tmp_path / "cache")
        assert Path(path).read_text() == address.removeprefix(server)
        assert fetch(address.replace("http", "HTTP", 1)) == path
    assert set(asked.values()) == {1}
    assert len(left(tmp_path / "cache")) == len(paths)  # no locks and no temporary files
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(os.stat(paths[0]).st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "404"),
        ("endless", "larger than 1000000 bytes"),
        ("huge", "larger than 1000000 bytes"),
        ("slow", "longer than 0 s"),
        ("silent", "timed out"),
        ("cut", "ended after 5 of 100 bytes"),
        ("empty", "empty"),
        ("redirect", "file:///etc/passwd"),
    ],
)
def test_what_fails_leaves_nothing(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str):
    monkeypatch.setattr(download, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(download, "MAX_SECONDS", 0 if kind == "slow" else 60)
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2 if kind == "silent" else 60)
    with pytest.raises(AddressError, match=words) as caught:
        fetch(f"{server}/{kind}/")
    assert caught.value.answered == (kind in ("missing", "redirect"))
    assert left(tmp_path / "cache") == []


@pytest.mark.slow
def locate_in(cache: str, row: Row) -> Source:
    os.environ["FVCORE_CACHE"] = cache
    return locate(row)


def test_a_reader_that_is_killed_leaves_nothing_large(server: str, tmp_path: Path):
    """As at the end of the seconds per file: only the empty lock file stays, until the file is downloaded."""
    rows = [Row(0, f"{server}/endless/a.mp4"), Row(1, f"{server}/fine/b.mp4")]
    read = partial(locate_in, str(tmp_path / "cache"))  # workers have the environment of the first one of the process
    results = list(read_all(read, rows, workers=1, seconds=2))
    assert [getattr(result, "code", None) for result in results] == ["worker.timeout", None]
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert sizes == {".a.mp4.lock": 0, "b.mp4": len("/fine/b.mp4")}


def test_processes_wait_for_one_another(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, begun = download._download, threading.Event()

    def slow(*words: object) -> None:
        begun.set()
        real(*words)

    monkeypatch.setattr(download, "_download", slow)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(fetch, [f"{server}/a.mp4"] * 8))
    assert begun.is_set() and len(paths) == 1
    assert asked["/a.mp4"] == 1
    assert left(tmp_path / "cache") == ["a.mp4"]


def test_a_folder_without_locks(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import filelock

    def acquire(self: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    assert Path(fetch(f"{server}/a.mp4")).read_text() == "/a.mp4"


@pytest.fixture
def no_cache(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the cache unwritable, for root too."""

    def close() -> None:
        real = tempfile.TemporaryFile

        def create(*words: object, dir: Path, **options: object) -> object:
            if Path(dir).is_relative_to(tmp_path / "cache"):
                raise PermissionError(13, "Permission denied", str(dir))
            return real(*words, dir=dir, **options)

        monkeypatch.setattr(tempfile, "TemporaryFile", create)

    return close


def test_an_unwritable_cache_is_refused_and_never_replaced(
    server: str, tmp_path: Path, no_cache: Callable[[], None], monkeypatch: pytest.MonkeyPatch
):
    """iopath would use a folder in /tmp that all users share."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    kept = fetch(f"{server}/a.mp4")
    no_cache()
    assert fetch(f"{server}/a.mp4") == kept  # what is there is read
    with pytest.raises(CacheError, match=f"{cache_folder()}.*FVCORE_CACHE"):
        fetch(f"{server}/b.mp4")
    with pytest.raises(AddressError):
        fetch("s3://bucket/b.mp4")
    with pytest.raises(DecodeError) as caught:
        locate(Row(0, f"{server}/b.mp4"))
    assert caught.value.code == "cache.not_writable"
    rows = [Row(0, f"{server}/b.mp4")]
    with refused("cache.not_writable", "FVCORE_CACHE", "b.mp4"):
        list(read_reachable(locate, rows, Rows(rows), workers=0, seconds=60))
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_cache_that_cannot_be_created(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match="FVCORE_CACHE"):
        fetch(f"{server}/a.mp4")
    assert not asked
