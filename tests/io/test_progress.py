"""The progress bar in a log."""

import io
import re

import pytest

from vidsemi.io.errors import UserError
from vidsemi.io.progress import Progress, progress_bar, show_progress


def test_a_log_has_plain_lines(capsys: pytest.CaptureFixture[str]):
    with show_progress(True), progress_bar(30, "video", "score", done=5) as bar:
        bar.set_postfix_str("2 cannot be read", refresh=False)
        bar.update(25)
    printed = capsys.readouterr().err
    assert "\r" not in printed
    lines = printed.splitlines()
    assert lines[0].startswith("score: 5 of 30 videos, ? video/s, 00:00 elapsed, ")
    assert re.fullmatch(
        r"score: 30 of 30 videos, +[\d.]+ video/s, 00:00 elapsed, 00:00 left, 2 cannot be read", lines[-1]
    ), lines[-1]


def test_silence(capsys: pytest.CaptureFixture[str]):
    with show_progress(True), progress_bar(30, "video", "score", silent=True) as bar:
        bar.update(30)
    assert capsys.readouterr().err == ""


def test_a_library_shows_nothing(capsys: pytest.CaptureFixture[str]):
    with progress_bar(30, "video", "score") as bar:
        bar.update(30)
    with show_progress(True), show_progress(False), progress_bar(30, "video", "score") as bar:
        bar.update(30)
    assert capsys.readouterr().err == ""


def test_a_function_receives_every_change(capsys: pytest.CaptureFixture[str]):
    received: list[Progress] = []
    with show_progress(received.append), show_progress(None), progress_bar(30, "video", "score", done=5) as bar:
        bar.update(10)
        bar.set_postfix_str("2 cannot be read", refresh=False)
        bar.update(-3)
        bar.update()
    assert [progress.done for progress in received] == [5, 15, 12, 13]
    assert received[0] == Progress("score", "video", done=5, total=30)
    assert capsys.readouterr().err == ""


def test_progress_is_checked():
    with pytest.raises(UserError) as error, show_progress("yes"):  # type: ignore[arg-type]
        pass
    assert error.value.code == "progress.invalid"


def test_a_notebook_redraws_its_line(monkeypatch: pytest.MonkeyPatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr("sys.stderr", stream)
    with show_progress(True), progress_bar(30, "video", "score") as bar:
        bar.update(30)
    assert stream.getvalue().count("\n") == 1 and "\r" in stream.getvalue()
