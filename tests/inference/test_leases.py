"""Claims: one owner at a time, take-over from the dead, clocks that jump."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidsemi.inference import leases as claims_module
from vidsemi.inference.leases import LEASE, Claims
from vidsemi.runtime.process import is_dead, own_identity

ELSEWHERE = {"boot": "another machine", "processes": "pid:[1]", "pid": 1, "started": "1"}


class Clock:
    """This process's own clock, under control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1000.0
        monkeypatch.setattr(claims_module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def leave(folder: Path, number: int, owner: dict | None, **content: object) -> Path:
    """A claim of somebody else."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{number:06d}"
    file.write_text(json.dumps({"owner": owner, "token": "t", "attempt": 1, "reading": None, "deaths": {}, **content}))
    return file


def dead() -> dict:
    """A process of this machine that is gone."""
    code = "import json; from vidsemi.runtime.process import own_identity as i; print(json.dumps(i()))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def test_a_shard_has_one_owner(tmp_path: Path):
    with Claims(tmp_path, 1000) as ours, Claims(tmp_path, 1000) as theirs:
        claim = ours.take(7)
        assert claim is not None and (claim.number, claim.attempt, claim.careful) == (7, 1, False)
        assert theirs.take(7) is None
        assert theirs.take_over(7) is None  # its owner lives
        ours.release(claim)
        assert theirs.take_over(7) is None  # there is nothing to take over
        assert theirs.take(7) is not None
    assert list(tmp_path.iterdir()) == []  # given back


def test_of_many_processes_one_gets_it(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from vidsemi.inference.leases import Claims\n"
        "claims = Claims(Path(sys.argv[1]), 1000)\n"
        "print(sum(claims.take(number) is not None for number in range(200)))"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) for _ in range(4)]
    assert sum(int(job.communicate()[0]) for job in jobs) == 200


def test_a_dead_owner_loses_its_shard_at_once(tmp_path: Path):
    leave(tmp_path, 3, dead(), reading=31, deaths={"30": 1, "31": 1})
    with Claims(tmp_path, 1000) as claims:
        assert claims.take(3) is None
        claim = claims.take_over(3)
        assert claim is not None and claim.attempt == 2 and not claim.careful
        assert claim.deaths == {30: 1, 31: 2}
        assert claim.deadly == set()
        claim.note(31)
        assert json.loads(claim.file.read_text())["reading"] == 31
    left = json.loads(claim.file.read_text())  # given back with what is known of its files
    assert (left["owner"], left["reading"], left["deaths"]) == (None, None, {"30": 1, "31": 2})
    with Claims(tmp_path, 1000) as claims:
        claim = claims.take_over(3)
        assert claim is not None and claim.attempt == 2 and claim.deaths == {30: 1, 31: 2}  # nobody died


def test_a_file_that_was_being_read_at_every_death_is_deadly(tmp_path: Path):
    leave(tmp_path, 0, dead(), attempt=4, reading=5, deaths={"5": 2, "6": 1})
    with Claims(tmp_path, 1000) as claims:
        claim = claims.take_over(0)
        assert claim is not None and claim.careful and claim.deadly == {5}


def test_a_lease_ends_by_the_observers_clock(tmp_path: Path, clock: Clock):
    leave(tmp_path, 1, ELSEWHERE)
    with Claims(tmp_path, 1000) as claims:
        assert claims.take_over(1) is None
        clock.now += LEASE - 1
        assert claims.take_over(1) is None
        clock.now += 2
        assert claims.take_over(1) is not None


def test_a_lease_runs_from_the_beginning_of_the_observers_work(tmp_path: Path, clock: Clock):
    leave(tmp_path, 1, ELSEWHERE)
    with Claims(tmp_path, 1000) as claims:
        clock.now += LEASE + 1  # of scoring other shards
        assert claims.take_over(1) is not None


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_clocks_that_jump_end_no_lease(tmp_path: Path, clock: Clock, jump: float):
    """Its owner renews the claim, by whatever clock: it is alive."""
    file = leave(tmp_path, 1, ELSEWHERE)
    stamp = file.stat().st_mtime
    with Claims(tmp_path, 1000) as claims:
        for beat in range(20):
            stamp += jump if beat % 5 == 2 else 30
            os.utime(file, (stamp, stamp))
            assert claims.take_over(1) is None
            clock.now += LEASE / 2
        clock.now += LEASE  # no beat any more, whatever time the file shows
        assert claims.take_over(1) is not None


def test_a_claim_that_changed_hands_meanwhile_is_put_back(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    file = leave(tmp_path, 1, dead())
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        leave(tmp_path, 1, own_identity(), token="faster")
        rename(source, target)

    monkeypatch.setattr(claims_module.os, "rename", late)
    with Claims(tmp_path, 1000) as claims:
        assert claims.take_over(1) is None
    assert json.loads(file.read_text())["token"] == "faster"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}', '{"owner": {}, "token": 1, "attempt": "x"}'])
def test_a_damaged_claim_has_its_lease_like_others(tmp_path: Path, clock: Clock, text: str):
    (tmp_path / "000002").write_text(text)
    with Claims(tmp_path, 1000) as claims:
        assert claims.take_over(2) is None
        clock.now += LEASE + 1
        claim = claims.take_over(2)
        assert claim is not None and claim.attempt == 2


def test_a_claim_taken_by_others_is_not_removed_by_its_old_owner(tmp_path: Path):
    with Claims(tmp_path, 1000) as claims:
        claim = claims.take(4)
        assert claim is not None
        theirs = leave(tmp_path, 4, ELSEWHERE)
        claims.release(claim)
        assert theirs.exists()


def test_claims_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    renewed = []
    monkeypatch.setattr(claims_module, "RENEW", 0.0)
    monkeypatch.setattr(claims_module.os, "utime", lambda file: renewed.append(file))
    with Claims(tmp_path, 1000) as claims:
        claim = claims.take(4)
        assert claim is not None
        while not renewed:
            os.sched_yield()
    assert set(renewed) == {claim.file}


def test_a_hung_worker_renews_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock):
    renewed, looks = [], []
    monkeypatch.setattr(claims_module, "RENEW", 0.0)
    monkeypatch.setattr(claims_module.os, "utime", lambda file: renewed.append(file))
    monkeypatch.setattr(claims_module, "monotonic", lambda: looks.append(1) or clock.now)

    def wait_for_looks() -> int:
        """Let the thread that renews go round; how often it has renewed by then."""
        first = len(looks)
        while len(looks) < first + 20:
            os.sched_yield()
        return len(renewed)

    with Claims(tmp_path, 10) as claims:
        assert claims.take(4) is not None
        clock.now += 11
        before = wait_for_looks()
        assert wait_for_looks() == before
        claims.progress()
        wait_for_looks()
        assert wait_for_looks() > before


def test_this_process_lives_and_others_are_not_judged():
    assert not is_dead(own_identity())
    assert not is_dead(ELSEWHERE)
    assert not is_dead({"boot": None, "processes": None, "pid": 1, "started": "1"})
    assert not is_dead({})
    assert is_dead(None)
    assert is_dead({**own_identity(), "started": "0"})  # its number has gone to another process
