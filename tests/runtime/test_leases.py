"""Leases: one owner at a time, take-over from dead workers, clocks that jump."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidsemi.io import store as store_module
from vidsemi.io.store import LocalStore
from vidsemi.runtime import leases as leases_module
from vidsemi.runtime.leases import EXPIRY, Leases
from vidsemi.runtime.process import this_process

ELSEWHERE = {"boot_id": "another machine", "pid_namespace": "pid:[1]", "pid": 1, "start_time": "1"}


class Clock:
    """This process's own clock, under control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1000.0
        monkeypatch.setattr(leases_module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def leases_of(folder: Path, patience: float = 1000) -> Leases:
    return Leases(LocalStore(folder.parent), patience, folder=folder.name)


def leave(folder: Path, number: int, owner: dict | None, **content: object) -> Path:
    """A lease of another worker."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{number:06d}"
    file.write_text(json.dumps({"owner": owner, "token": "t", "attempt": 1, "reading": None, "deaths": {}, **content}))
    return file


def dead() -> dict:
    """A process of this machine that is gone."""
    code = "import json; from vidsemi.runtime.process import this_process as i; print(json.dumps(i()))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def test_a_shard_has_one_owner(tmp_path: Path):
    with leases_of(tmp_path) as ours, leases_of(tmp_path) as theirs:
        lease = ours.take(7)
        assert lease is not None and (lease.number, lease.attempt, lease.careful) == (7, 1, False)
        assert theirs.take(7) is None
        assert theirs.take_over(7) is None  # its owner lives
        ours.release(lease)
        assert theirs.take_over(7) is None  # there is nothing to take over
        assert theirs.take(7) is not None
    assert list(tmp_path.iterdir()) == []  # given back


def test_of_many_processes_one_gets_it(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from vidsemi.io.store import LocalStore\n"
        "from vidsemi.runtime.leases import Leases\n"
        "leases = Leases(LocalStore(Path(sys.argv[1])), 1000)\n"
        "print(sum(leases.take(number) is not None for number in range(200)))"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) for _ in range(4)]
    assert sum(int(job.communicate()[0]) for job in jobs) == 200


def test_a_dead_owner_loses_its_shard_at_once(tmp_path: Path):
    leave(tmp_path, 3, dead(), reading=31, deaths={"30": 1, "31": 1})
    with leases_of(tmp_path) as leases:
        assert leases.take(3) is None
        lease = leases.take_over(3)
        assert lease is not None and lease.attempt == 2 and not lease.careful
        assert lease.deaths == {30: 1, 31: 2}
        assert lease.crashing == set()
        leases.note(lease, 31)
        assert json.loads((tmp_path / "000003").read_text())["reading"] == 31
    left = json.loads((tmp_path / "000003").read_text())  # given back with what is known of its files
    assert (left["owner"], left["reading"], left["deaths"]) == (None, None, {"30": 1, "31": 2})
    with leases_of(tmp_path) as leases:
        lease = leases.take_over(3)
        assert lease is not None and lease.attempt == 2 and lease.deaths == {30: 1, 31: 2}  # nobody died


def test_a_file_that_was_being_read_at_every_death_is_not_read_again(tmp_path: Path):
    leave(tmp_path, 0, dead(), attempt=4, reading=5, deaths={"5": 2, "6": 1})
    with leases_of(tmp_path) as leases:
        lease = leases.take_over(0)
        assert lease is not None and lease.careful and lease.crashing == {5}


def test_a_lease_ends_by_the_observers_clock(tmp_path: Path, clock: Clock):
    leave(tmp_path, 1, ELSEWHERE)
    with leases_of(tmp_path) as leases:
        assert leases.take_over(1) is None
        clock.now += EXPIRY - 1
        assert leases.take_over(1) is None
        clock.now += 2
        assert leases.take_over(1) is not None


def test_a_lease_runs_from_the_beginning_of_the_observers_work(tmp_path: Path, clock: Clock):
    leave(tmp_path, 1, ELSEWHERE)
    with leases_of(tmp_path) as leases:
        clock.now += EXPIRY + 1  # of scoring other shards
        assert leases.take_over(1) is not None


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_clocks_that_jump_end_no_lease(tmp_path: Path, clock: Clock, jump: float):
    """Its owner renews the lease, whatever time its clock gives the file: it is alive."""
    file = leave(tmp_path, 1, ELSEWHERE)
    stamp = file.stat().st_mtime
    with leases_of(tmp_path) as leases:
        for beat in range(20):
            stamp += jump if beat % 5 == 2 else 30
            leave(tmp_path, 1, ELSEWHERE, renewals=beat)
            os.utime(file, (stamp, stamp))
            assert leases.take_over(1) is None
            clock.now += EXPIRY / 2
        clock.now += EXPIRY  # no beat any more, whatever time the file shows
        os.utime(file, (stamp + 1, stamp + 1))
        assert leases.take_over(1) is not None


def test_a_lease_that_changed_hands_meanwhile_is_put_back(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    file = leave(tmp_path, 1, dead())
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        leave(tmp_path, 1, this_process(), token="faster")
        rename(source, target)

    monkeypatch.setattr(store_module.os, "rename", late)
    with leases_of(tmp_path) as leases:
        assert leases.take_over(1) is None
    assert json.loads(file.read_text())["token"] == "faster"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}', '{"owner": {}, "token": 1, "attempt": "x"}'])
def test_a_damaged_lease_has_its_lease_like_others(tmp_path: Path, clock: Clock, text: str):
    (tmp_path / "000002").write_text(text)
    with leases_of(tmp_path) as leases:
        assert leases.take_over(2) is None
        clock.now += EXPIRY + 1
        lease = leases.take_over(2)
        assert lease is not None and lease.attempt == 2


def test_a_lease_taken_by_others_is_not_removed_by_its_old_owner(tmp_path: Path):
    with leases_of(tmp_path) as leases:
        lease = leases.take(4)
        assert lease is not None
        theirs = leave(tmp_path, 4, ELSEWHERE)
        leases.release(lease)
        assert theirs.exists()


def test_leases_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leases_module, "RENEW_EVERY", 0.0)
    with leases_of(tmp_path) as leases:
        assert leases.take(4) is not None
        states = {leases.state(4)}
        while len(states) < 4:  # a lease is there at every moment, and none is like the one before
            states.add(leases.state(4))
        assert None not in states


def test_a_hung_worker_renews_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock):
    looks = []
    monkeypatch.setattr(leases_module, "RENEW_EVERY", 0.0)
    monkeypatch.setattr(leases_module, "monotonic", lambda: looks.append(1) or clock.now)

    def state_after_looks() -> str | None:
        """Let the thread that renews go round; the lease by then."""
        first = len(looks)
        while len(looks) < first + 20:
            os.sched_yield()
        return leases.state(4)

    with leases_of(tmp_path, 10) as leases:
        assert leases.take(4) is not None
        clock.now += 11
        before = state_after_looks()
        assert state_after_looks() == before
        leases.report_progress()
        assert state_after_looks() != before


def test_a_worker_that_lost_its_lease_renews_nothing(tmp_path: Path):
    """Not that of its successor, and not one that is removed, as that of a shard which is done."""
    with leases_of(tmp_path) as leases:
        lease = leases.take(4)
        assert lease is not None
        file = leave(tmp_path, 4, ELSEWHERE, token="successor")
        leases.note(lease, 7)
        assert json.loads(file.read_text())["token"] == "successor"
        file.unlink()
        leases.note(lease, 8)
        assert not file.exists()


def test_a_store_that_was_away_ends_no_lease(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    """While a listing waits for the store, the owners cannot renew their leases either."""

    class FarStore(LocalStore):
        remote = True
        away = 0.0

        def versions(self, folder: str) -> dict[str, str]:
            clock.now += self.away
            return super().versions(folder)

    monkeypatch.setattr(leases_module, "is_dead", lambda owner: False)
    leave(tmp_path / "leases", 4, {"machine": "other"})
    store = FarStore(tmp_path)
    with Leases(store, 1000) as leases:
        assert leases.leased() == {4}
        store.away = 600.0
        leases.leased()
        store.away = 0.0
        assert leases.expired() == set() and leases.take_over(4) is None
        clock.now += leases_module.EXPIRY
        leases.leased()
        assert leases.expired() == {4} and leases.take_over(4) is not None
