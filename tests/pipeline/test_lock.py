"""The lock of a run's directory on file systems without flock."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from tests.runtime.test_leases import ELSEWHERE, Clock
from vidsemi.pipeline import lock
from vidsemi.pipeline.lock import locked
from vidsemi.runtime import leases

fcntl = pytest.importorskip("fcntl")

NO_FLOCK = """
import errno, fcntl, sys
from pathlib import Path

def flock(*arguments):
    raise OSError(getattr(errno, sys.argv[2]), "no flock")

fcntl.flock = flock
from vidsemi.pipeline.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_two_runs_exclude_each_other_without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """A second one is refused at once, and may run as soon as the first is killed."""
    refuse(monkeypatch, getattr(errno, name))
    command = [sys.executable, "-c", NO_FLOCK, tmp_path, name]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "locked\n"
    with refused("output.in_use", tmp_path), locked(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path), refused("output.in_use", tmp_path), locked(tmp_path):
        pass
    assert not list((tmp_path / ".lease").iterdir())


def test_other_errors_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path):
        pass


@pytest.mark.parametrize("lives", [False, True])
def test_a_run_on_another_machine_has_three_minutes_for_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: bool, caplog: pytest.LogCaptureFixture
):
    refuse(monkeypatch, errno.ENOSYS)
    clock, file = Clock(monkeypatch), tmp_path / ".lease" / "000000"
    file.parent.mkdir()
    file.write_text(json.dumps({"owner": ELSEWHERE, "token": "t", "attempt": 1, "reading": None, "deaths": {}}))
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += 30
        if lives and len(slept) == 3:
            file.write_text(file.read_text().replace('"t"', '"u"'))

    monkeypatch.setattr(lock.time, "sleep", sleep)
    if lives:
        with refused("output.in_use", tmp_path), locked(tmp_path):
            pass
        assert len(slept) == 3
    else:
        with locked(tmp_path):
            assert len(slept) == leases.EXPIRY / 30
    assert len(caplog.messages) == 1 and str(tmp_path) in caplog.text
