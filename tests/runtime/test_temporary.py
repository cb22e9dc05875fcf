"""The temporary folder is left clean, also after processes were killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

POOL = """
import sys
sys.path.insert(0, {tests!r})
from tests.data.test_worker_pool import act, rows
from vidsemi.data.worker_pool import read_all
if __name__ == "__main__":
    for result in read_all(act, rows("a", "b", "c"), workers=2, seconds=600):
        print(result, flush=True)
    if "hang" in sys.argv:
        list(read_all(act, rows("hang"), workers=1, seconds=600))
"""
LOADER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tests.data.test_loader import KEYS, dataset_of
from vidsemi.config import Runtime
from vidsemi.data.loader import Loader
if __name__ == "__main__":
    with Loader(dataset_of(Path(sys.argv[1])), KEYS, Runtime(workers=2), pin_memory=False) as loader:
        for _ in range(3):
            print(next(loader.take(1)).example_ids, flush=True)
        if "hang" in sys.argv:
            sys.stdin.read()
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of processes that the test starts, with a short name for sockets."""
    folder = tempfile.mkdtemp()
    monkeypatch.setenv("TMPDIR", folder)
    return Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("script", [POOL, LOADER], ids=["pool", "loader"])
def test_nothing_is_left_and_what_a_kill_leaves_is_removed_by_the_next(
    tmp_path: Path, temporary: Path, script: str, pictures: Path
):
    (tmp_path / "job.py").write_text(script.format(tests=str(REPOSITORY)))
    command = [sys.executable, tmp_path / "job.py", pictures]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [*command, "hang"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    (of_process,) = temporary.iterdir()
    if script == POOL:  # another one, meanwhile
        assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(temporary.iterdir()) == [of_process]
    (temporary / "vidsemi-of-another-program").mkdir()
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert [file.name for file in temporary.iterdir()] == ["vidsemi-of-another-program"]


@pytest.mark.slow
def test_a_long_path_of_the_temporary_folder_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    (tmp_path / "job.py").write_text(POOL.format(tests=str(REPOSITORY)))
    done = subprocess.run([sys.executable, tmp_path / "job.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
