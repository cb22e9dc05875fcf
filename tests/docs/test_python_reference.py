"""The page of the Python API: it is what the docstrings say, and its examples run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.helpers import warm

PAGE = REPOSITORY / "docs" / "reference" / "python.md"


def test_the_python_reference_is_that_of_the_docstrings():
    script = REPOSITORY / "docs" / "make_python_reference.py"
    made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert made.stdout == PAGE.read_text(encoding="utf-8")
    assert "|  |\n" not in made.stdout  # every argument says what it means


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, shapes: Path, untrained_weights: Path, tiny_config: Callable[..., Path]):
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("labeled", "unlabeled", "test"):
        (folder / name).symlink_to(shapes / name)
        (folder / f"{name}.csv").symlink_to(shapes / f"{name}.csv")
    (folder / "video.mp4").symlink_to(shapes / "test" / "00000.mp4")
    (folder / "config.yaml").write_text(tiny_config().read_text())
    shutil.copy(untrained_weights, folder / "weights.pt")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    call = re.compile(r"^((?:for .* in |\w+ = |)vidsemi\.(?:predict|score|evaluate|train)\(.*)\)(:?)$", re.MULTILINE)
    code, calls = call.subn(r"\1, workers=0)\2", "\n".join(blocks))  # which starts in a fraction of the time
    assert calls > 3
    (folder / "page.py").write_text(code)
    done = warm.run(folder / "page.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "weights.missing" in done.stdout and "predict: 1 of 1 files" in done.stdout and done.stderr == ""
