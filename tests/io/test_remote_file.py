"""Files of an object store read by ranges: their bytes, how many requests they take, and what goes wrong."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server
from vidsemi.io import download, object_store, remote_file
from vidsemi.io.errors import DecodeError
from vidsemi.io.remote_file import RemoteFile
from vidsemi.io.store import parse_place
from vidsemi.io.store_connection import connect

pytestmark = pytest.mark.cluster
CONTENT = bytes(number * number % 251 for number in range(10_000))


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"FIRST": 1000, "LEAST": 100, "MOST": 400, "KEPT": 2000}.items():
        monkeypatch.setattr(remote_file, name, size)


@pytest.fixture
def requests(server: S3Server) -> Counter[str]:
    """Requests to the server, by method."""
    counts: Counter[str] = Counter()
    server.fault = lambda method, path: counts.update([method])
    return counts


def put(server: S3Server, key: str, content: bytes = CONTENT) -> str:
    server.client().put_object(Bucket="bucket", Key=key, Body=content)
    return f"s3://bucket/{key}"


def failure(code: str, address: str, offset: int = 0, size: int | None = None) -> str:
    with pytest.raises(DecodeError) as error:
        RemoteFile(address, offset, size).open().read()
    assert (error.value.code, error.value.path) == (code, address) and error.value.unreachable
    return error.value.reason


@pytest.mark.parametrize("key", ["a.mp4", "with space/ü #?*&+%20~[1].mp4"])
def test_a_small_file_takes_one_request(server: S3Server, requests: Counter[str], key: str):
    address = put(server, key)
    requests.clear()
    file = RemoteFile(address)
    with file.open() as opened:
        assert opened.read() == CONTENT and opened.read(5) == b"" and opened.seek(-3, os.SEEK_END) == len(CONTENT) - 3
        assert opened.read(2) == CONTENT[-3:-1] and opened.tell() == len(CONTENT) - 1
    assert file.open(20, 30).read() == CONTENT[20:50]
    assert requests == {"GET": 1}


def test_a_member_of_a_tar_takes_one_request_for_its_own_bytes(
    server: S3Server, requests: Counter[str], small_requests: None
):
    address = put(server, "members.tar")
    requests.clear()
    file = RemoteFile(address, 2000, 700)
    assert file.open(2000, 700).read() == CONTENT[2000:2700] and requests == {"GET": 1} and file.size == len(CONTENT)
    file = RemoteFile(address, 2000, 1500)  # more than the first request
    assert file.open(2000, 1500).read() == CONTENT[2000:3500]
    assert max(first + len(piece) for first, piece in file._pieces.items()) == 3500  # nothing of the next member


def full() -> None:
    raise OSError("no space left")


def test_reading_on_asks_for_more_at_a_time(
    server: S3Server, requests: Counter[str], small_requests: None, monkeypatch: pytest.MonkeyPatch
):
    file = RemoteFile(put(server, "a.mp4"))
    requests.clear()
    with file.open() as opened:
        assert b"".join(iter(lambda: opened.read(7), b"")) == CONTENT
        assert requests == {"GET": 23}  # nine thousand bytes in pieces of 400
        requests.clear()
        assert sum(map(len, file._pieces.values())) <= 2000
        opened.seek(0)
        assert opened.read() == CONTENT and not requests  # from memory and a temporary file
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with RemoteFile("s3://bucket/a.mp4").open() as opened:
        assert opened.read() == CONTENT
        requests.clear()
        opened.seek(5000)
        assert opened.read(10) == CONTENT[5000:5010] and requests == {"GET": 1}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=st.lists(st.tuples(st.integers(0, 10_100), st.integers(0, 1500)), max_size=12))
def test_any_reads_give_the_bytes_of_the_file(server: S3Server, small_requests: None, reads: list[tuple[int, int]]):
    server.fault = lambda method, path: None
    with RemoteFile(put(server, "a.mp4")).open() as opened:
        for place, size in reads:
            opened.seek(place)
            assert opened.read(size) == CONTENT[place : place + size]


def test_faults_of_the_server_change_nothing(server: S3Server, small_requests: None):
    address = put(server, "a.mp4")
    kinds = iter([None, "throttled", None, "cut", None, "lost", None, "failed", "slow", *[None] * 100])
    server.fault = lambda method, path: next(kinds)
    assert RemoteFile(address).open().read() == CONTENT


def test_files_that_cannot_be_read(server: S3Server, monkeypatch: pytest.MonkeyPatch):
    assert RemoteFile(put(server, "empty", b"")).open().read() == b""
    assert RemoteFile(put(server, "a.mp4"), 20_000, 5).size == len(CONTENT)
    assert "no such file" in failure("file.not_served", "s3://bucket/none.mp4")
    assert "nowhere does not exist" in failure("store.missing", "s3://nowhere/a.mp4")
    assert "bucket/../a.mp4" in failure("file.unreadable", "s3://bucket/../a.mp4")
    monkeypatch.setattr(object_store.tolerant, "__defaults__", (0.0,))
    monkeypatch.setattr(remote_file, "SHORT_PATIENCE", 0.0)
    for kind, code, words in (
        ("throttled", "file.not_downloaded", "SlowDown"),
        ("cut", "file.not_downloaded", "error sending request"),
        ("denied", "store.refused", "AccessDenied"),
        ("expired", "store.refused", "ExpiredToken"),
    ):
        server.fault = lambda method, path, kind=kind: kind
        assert words in failure(code, "s3://bucket/a.mp4")


def test_a_file_that_changes_while_it_is_read_is_noticed(server: S3Server, small_requests: None):
    file = RemoteFile(put(server, "changing.mp4"))
    put(server, "changing.mp4", CONTENT[::-1])
    opened = file.open()
    with pytest.raises(DecodeError, match="changed") as error:
        opened.read()
    assert error.value.code == "file.unreadable" and opened.failure is error.value


def test_processes_that_were_forked_say_what_to_do_instead_of_waiting_forever(server: S3Server):
    address = put(server, "a.mp4")
    RemoteFile(address)
    child = os.fork()
    if child == 0:
        try:
            RemoteFile(address)
        except DecodeError as error:
            os._exit(7 if error.code == "store.forked" and "forkserver" in error.reason else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_local_copy_is_of_the_present_version(
    server: S3Server, requests: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    address = put(server, "m.csv", b"path\na.mp4\n")
    copy = download.local_copy(parse_place(address))
    assert copy.read_bytes() == b"path\na.mp4\n" and copy.name == "m.csv" and tmp_path in copy.parents
    assert download.local_copy(parse_place(address)) == copy == Path(download.fetch(address))
    put(server, "m.csv", b"path\nb.mp4\n")
    assert download.local_copy(parse_place(address)).read_bytes() == b"path\nb.mp4\n"
    with pytest.raises(FileNotFoundError):
        download.local_copy(parse_place("s3://bucket/none.csv"))
    with pytest.raises(download.AddressError) as error:
        download.fetch("s3://bucket/none.csv")
    assert error.value.answered
    server.fault = lambda method, path: "denied"
    with refused("store.refused", address):
        download.local_copy(parse_place(address))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    connect.cache_clear()
    assert "vidsemi[cluster]" in failure("store.not_installed", "s3://bucket/a.mp4")
