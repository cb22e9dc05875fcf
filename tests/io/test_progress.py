"""The progress bar in a log."""

import re

import pytest

from vidsemi.io.progress import progress_bar


def test_a_log_has_plain_lines(capsys: pytest.CaptureFixture[str]):
    with progress_bar(30, "video", "score", done=5) as bar:
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
    with progress_bar(30, "video", "score", silent=True) as bar:
        bar.update(30)
    assert capsys.readouterr().err == ""
