"""The Python examples of the guides run as they stand."""

import contextlib
import io
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import REPOSITORY


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_predict_from_python_and_from_a_webcam(
    tmp_path: Path, shapes: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert weights == tmp_path / "weights.pt"
    for name, video in zip(("video.mp4", "other.mp4"), sorted((shapes / "test").glob("*.mp4")), strict=False):
        shutil.copy(video, name)
    shown: list[np.ndarray] = []

    class Camera:
        """A camera whose n-th frame is blue by n of 255: the first of OpenCV's three channels."""

        def __init__(self, number: int):
            assert number == 0

        def read(self) -> tuple[bool, np.ndarray]:
            shown.append(np.zeros((48, 64, 3), np.uint8))
            shown[-1][..., 0] = len(shown)
            return True, shown[-1]

    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=Camera))
    files, webcam, *_ = python_blocks("docs/guides/predictions.md")
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(files, names)
        exec(webcam, names)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4 and lines[1].startswith("video.mp4 {") and lines[2].startswith("other.mp4 {")
    assert lines[0].rsplit(" ", 1)[0] in names["model"].classes and lines[3] in names["model"].classes
    assert len(shown) == 64 and (names["frames"][9] == [0, 0, 10]).all()  # red, green, blue
