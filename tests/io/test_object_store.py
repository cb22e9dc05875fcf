"""A folder of an object store: conditions, lost answers, faults, and stores that lack what workers need."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server
from vidsemi.io import object_store, store_patience
from vidsemi.io.object_store import ObjectStore, RemotePath
from vidsemi.io.store import LocalStore, Store, open_store, parse_place
from vidsemi.io.store_patience import patient
from vidsemi.runtime import leases as leases_module
from vidsemi.runtime.leases import EXPIRY, Leases
from vidsemi.runtime.process import this_process

pytestmark = pytest.mark.cluster
FOLDERS = itertools.count()


@pytest.fixture
def folder(server: S3Server) -> RemotePath:
    return RemotePath("s3://bucket", f"folder{next(FOLDERS)}")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path) if request.param == "local" else ObjectStore(request.getfixturevalue("folder"))


def test_one_contract_for_all_stores(store: Store):
    first = store.create("leases/000001", b"1")
    assert first is not None and store.create("leases/000001", b"2") is None
    assert store.read("leases/000001") == (b"1", first)
    second = store.swap("leases/000001", b"3", first)
    assert second is not None and second != first
    assert store.swap("leases/000001", b"4", first) is None
    assert store.renew("leases/000001", b"5", first) is None
    third = store.renew("leases/000001", b"6", second)
    assert third is not None and store.read("leases/000001") == (b"6", third)
    assert store.swap("leases/000002", b"7", first) is None and not store.exists("leases/000002")
    store.put("part-000000.parquet", b"8")
    store.put("part-000000.parquet", b"9")
    assert store.names("none") == []
    assert {"part-000000.parquet"} == {name for name in store.names() if name != "leases"}
    assert store.versions("leases") == {"000001": third}
    store.remove("leases/000001")
    store.remove("leases/000001")
    assert store.read("leases/000001") is None and store.names("leases") == []
    assert store.place("part-000000.parquet").read_bytes() == b"9"


def test_a_request_whose_answer_is_lost_is_known_again(server: S3Server, folder: RemotePath):
    """It is sent again, and fails because of its first sending; that is not another worker's doing."""
    store, faults = ObjectStore(folder), ["lost"]
    server.fault = lambda method, path: faults.pop() if faults and method == "PUT" else None
    version = store.create("lease", b"mine 1")
    assert version is not None and not faults
    faults.append("lost")
    version = store.swap("lease", b"mine 2", version)
    assert version is not None and store.read("lease") == (b"mine 2", version)
    faults.append("lost")
    assert store.create("lease", b"other") is None


def test_random_faults_change_no_answer(server: S3Server, folder: RemotePath):
    store, dice = ObjectStore(folder), random.Random(0)
    kinds = ["throttled", "failed", "cut", "lost", None, None]
    server.fault = lambda method, path: dice.choice(kinds)
    for number in range(20):
        version = store.create(f"{number}", f"a{number}".encode())
        assert version is not None
        assert store.swap(f"{number}", f"b{number}".encode(), version) is not None
        assert store.swap(f"{number}", f"c{number}".encode(), version) is None
    assert {name: store.place(name).read_bytes() for name in store.names()} == {
        f"{number}": f"b{number}".encode() for number in range(20)
    }


@pytest.mark.parametrize(("kind", "reason"), [("expired", "oken"), ("denied", "Denied"), ("skewed", "Skewed")])
def test_refused_credentials_are_reported_at_once(server: S3Server, folder: RemotePath, kind: str, reason: str):
    """And a clock that is too wrong for the server."""
    store = ObjectStore(folder)
    server.fault = lambda method, path: kind
    for call in (lambda: store.names(), lambda: store.read("x"), lambda: store.create("x", b""), store.probe):
        with refused("store.refused", str(folder), reason):
            call()


def test_a_name_that_cannot_be_listed_is_reported_at_once(server: S3Server, folder: RemotePath):
    key = f"{folder.key}//a.txt"
    server.client().put_object(Bucket=folder.root.rpartition("/")[2], Key=key, Body=b"")
    with refused("store.invalid_name", str(folder)):
        folder.names()


def test_a_store_that_stays_away_is_reported(server: S3Server, folder: RemotePath, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_store, "PATIENCE", 0.0)
    for function in (object_store.tolerant, RemotePath.names):
        monkeypatch.setattr(function, "__defaults__", (0.0,))
    server.fault = lambda method, path: "throttled"
    with refused("store.unreachable", str(folder), "SlowDown"):
        ObjectStore(folder).names()
    server.fault = lambda method, path: None
    with refused("store.missing", "s3://none"):
        ObjectStore(RemotePath("s3://none", "x")).put("x", b"")


def test_a_store_that_throttles_for_minutes_is_waited_for(
    server: S3Server, folder: RemotePath, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """By a worker for half an hour; by a command that reads for two minutes."""
    now = [0.0]
    sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)  # noqa: E731
    monkeypatch.setattr(store_patience, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(store_patience, "LONGEST_DELAY", 60.0)
    store, ends = ObjectStore(folder), [1500.0]
    server.fault = lambda method, path: "throttled" if now[0] < ends[0] else None
    with patient():
        store.put("a", b"1")
        assert 1500 <= now[0] <= 1560 and store.read("a") is not None
        (warning,) = caplog.messages
        assert "SlowDown" in warning and "30 minutes" in warning
        now[0], ends[0] = 0.0, 1e9
        with refused("store.unreachable", "SlowDown"):
            store.read("a")
        assert 1800 <= now[0] <= 1860
    now[0] = 0.0
    with refused("store.unreachable", "SlowDown"):
        store.read("a")
    assert 120 <= now[0] <= 180


def test_a_store_without_conditions_is_refused(server: S3Server, folder: RemotePath):
    open_store(folder)
    server.fault = lambda method, path: "unconditional"
    with refused("store.no_conditions", str(folder)):
        open_store(folder)
    assert server.content("bucket", folder.key) == {}  # the probe leaves nothing


def test_addresses(tmp_path: Path):
    assert str(parse_place("s3://bucket/a//b/")) == "s3://bucket/a/b"
    assert parse_place("az://account/container/a") == RemotePath("az://account/container", "a")
    assert parse_place("s3:/x") == Path("s3:/x")
    for address in ("s3://", "az://account", "gs://bucket/../x"):
        with refused("store.invalid_address", address):
            parse_place(address)


def test_a_listing_tells_which_leases_expired(folder: RemotePath, monkeypatch: pytest.MonkeyPatch):
    """One that is seen for the first time when its time is over is taken over at once; a renewed one is not."""
    now = 1000.0
    monkeypatch.setattr(leases_module, "monotonic", lambda: now)
    owner = {"boot_id": "elsewhere", "pid_namespace": "pid:[1]", "pid": 1, "start_time": "1"}
    lease = {"owner": owner, "token": "t", "attempt": 1, "reading": None, "deaths": {}}
    store = ObjectStore(folder)
    with Leases(store, 1e9) as leases:
        for number in (1, 2):
            store.put(f"leases/{number:06d}", json.dumps(lease).encode())
        assert (leases.leased(), leases.expired()) == ({1, 2}, set())
        now += EXPIRY
        store.put("leases/000002", json.dumps({**lease, "renewals": 1}).encode())
        assert (leases.leased(), leases.expired()) == ({1, 2}, {1})
        assert leases.take_over(2) is None
        taken = leases.take_over(1)
        assert taken is not None and taken.attempt == 2
        assert (leases.leased(), leases.expired()) == ({1, 2}, set())


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_no_clock_ends_a_lease_but_the_observers_own(store: Store, monkeypatch: pytest.MonkeyPatch, jump: float):
    """Whatever this machine's date, the server's, or that of the other worker does meanwhile."""
    now, jumps = 1000.0, itertools.count()
    wall, listed = time.time, object_store._list
    monkeypatch.setattr(leases_module, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time", lambda: wall() + jump * next(jumps))

    def list_with_jumps(place: RemotePath) -> list[dict[str, Any]]:
        late = timedelta(seconds=jump * next(jumps))
        return [{**meta, "last_modified": meta["last_modified"] + late} for meta in listed(place)]

    monkeypatch.setattr(object_store, "_list", list_with_jumps)
    lease = {"owner": {**this_process(), "boot_id": "elsewhere"}, "token": "t", "attempt": 1, "reading": None}
    lease["deaths"] = {}
    with Leases(store, 1e9) as leases:
        for beat in range(8):
            store.put("leases/000001", json.dumps({**lease, "renewals": beat}).encode())
            assert leases.leased() == {1} and leases.expired() == set()
            assert leases.take_over(1) is None
            now += EXPIRY * 0.9
        now += EXPIRY * 0.1
        assert leases.leased() == {1}
        assert leases.take_over(1) is not None


def test_an_observer_that_is_stopped_before_it_takes_over_finds_the_lease_renewed(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """Between its look at an old lease and its write, more time passes than leases last."""
    now = 1000.0
    monkeypatch.setattr(leases_module, "monotonic", lambda: now)
    same = type(store)(store.place(""))  # type: ignore[call-arg]
    read = store.read
    with Leases(same, 1e9) as theirs, Leases(store, 1e9) as ours:
        lease = theirs.take(1)
        assert lease is not None and ours.take_over(1) is None

        def read_and_stop(name: str, most: int = 1 << 20) -> tuple[bytes, str] | None:
            nonlocal now
            found = read(name, most)
            if now == 1000.0:
                now += 10 * EXPIRY
                theirs.note(lease, 7)
            return found

        monkeypatch.setattr(store, "read", read_and_stop)
        assert ours.take_over(1) is None
        assert now > 1000.0 and theirs.owns(lease)


RACE = """
import sys
from vidsemi.io.store import parse_place
from vidsemi.io.object_store import ObjectStore
from vidsemi.runtime.leases import Leases
leases = Leases(ObjectStore(parse_place(sys.argv[1])), 1000)
print("ready", flush=True)
sys.stdin.readline()
take = leases.take_over if sys.argv[2] == "over" else leases.take
print(*[number for number in range(200) if take(number)], flush=True)
sys.stdin.readline()  # the leases of a process that ended may be taken over
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["create", "over"])
def test_four_processes_race_for_200_leases(server: S3Server, folder: RemotePath, how: str):
    """Each has one winner, whether the leases are free or given back."""
    if how == "over":
        for number in range(200):
            content = {"owner": None, "token": f"{number}", "attempt": 1, "reading": None, "deaths": {}}
            ObjectStore(folder).put(f"leases/{number:06d}", json.dumps(content).encode())
    command = [sys.executable, "-c", RACE, str(folder), how]
    jobs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(4)
    ]
    for job in jobs:
        assert job.stdout is not None and job.stdout.readline() == "ready\n"
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write("go\n")
        job.stdin.flush()
    won = [job.stdout.readline().split() for job in jobs if job.stdout is not None]
    for job in jobs:
        job.communicate("")
    assert sorted(int(number) for mine in won for number in mine) == list(range(200))
    tokens = {json.loads(one)["token"] for one in server.content("bucket", f"{folder.key}/leases").values()}
    assert len(tokens) == 200
