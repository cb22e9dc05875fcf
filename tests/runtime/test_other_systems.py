"""Systems other than Linux: macOS works on CPU code paths, Windows is refused in a line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from vidsemi.cli import main as cli

# What Linux has and others lack: modules that cannot be imported, functions that are not there.
ELSEWHERE = """
import sys
import psutil  # whose part for Linux needs some of these

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource"):
            raise ImportError(f"no module named {name} on this system")

for name in ("fcntl", "resource"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocker())
import multiprocessing, os, shutil
for name in ("sched_getaffinity", "sched_setaffinity", "posix_fadvise", "setpriority", "getpriority"):
    delattr(os, name)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
if multiprocessing.get_start_method(allow_none=True) is None:
    multiprocessing.set_start_method("spawn")
sys.path.insert(0, {repository!r})
"""
IMPORTS = """
import importlib, pkgutil
import vidsemi
for module in pkgutil.walk_packages(vidsemi.__path__, "vidsemi."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""
RUNS = """
from pathlib import Path
from tests.data.test_loader import KEYS, dataset_of
from tests.data.test_worker_pool import act, rows
from vidsemi.config import Runtime
from vidsemi.data.loader import Loader
from vidsemi.data.worker_pool import read_all
from vidsemi.pipeline.lock import locked
from vidsemi.runtime.process import usable_cores

if __name__ == "__main__":
    assert usable_cores() >= 1
    print([result.split()[0] for result in read_all(act, rows("a", "b"), workers=1, seconds=60)])
    with Loader(dataset_of(Path(sys.argv[1])), KEYS, Runtime(workers=1), pin_memory=False) as loader:
        print(next(loader.take(1)).example_ids)
    with locked(Path(sys.argv[1]).parent / "run"):
        print(sorted(file.name for file in (Path(sys.argv[1]).parent / "run").iterdir() if file.is_dir()))
"""


def run(folder: Path, code: str, *arguments: object) -> list[str]:
    script = folder / "elsewhere.py"
    script.write_text(ELSEWHERE.replace("{repository!r}", repr(str(REPOSITORY))) + code)
    done = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_no_module_needs_what_only_linux_has(tmp_path: Path):
    imported = run(tmp_path, IMPORTS)
    assert "vidsemi.data.worker_process" in imported and "vidsemi.runtime.process" in imported


@pytest.mark.slow
def test_readers_and_locks_work_with_spawned_processes_and_without_linux(tmp_path: Path, pictures: Path):
    assert run(tmp_path, RUNS, pictures) == ["['a', 'b']", "[0, 1]", "['.lease']"]


def test_windows_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["models"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert "WSL" in printed.err and printed.err.endswith("[system.windows]\n")
