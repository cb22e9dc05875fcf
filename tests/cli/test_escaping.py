"""Names of strangers on the terminal: error lines, log messages and answers hold no control characters."""

import json
import logging
from pathlib import Path

import pytest

from vidsemi.cli import main as cli

EVIL = "a\x1b]0;pwned\x07\x1b[2J\x9b1m\u202e"


def controls(text: str) -> set[str]:
    return {character for character in text if not character.isprintable() and character != "\n"}


def test_error_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    commands = (
        ["select", "--scores", f"{tmp_path}/{EVIL}", "--per-class", "1", "--output", f"{tmp_path}/s.parquet"],
        ["run", "--cfg", EVIL],
        ["evaluate", "--weights", EVIL, "--manifest", f"{EVIL}.csv"],
        ["manifest", "files", "--root", f"{tmp_path}/{EVIL}", "--output", f"{tmp_path}/o.csv"],
        [EVIL],
        ["flops", "--model", EVIL],
        ["select", "--scores", str(tmp_path), "--per-class", "1", "--output", f"{tmp_path}/{EVIL}\0/s.parquet"],
    )
    for command in commands:
        assert cli.main(command) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert not controls(captured.err), command


def test_answers_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "videos" / EVIL).mkdir(parents=True)
    (tmp_path / "videos" / EVIL / "a.mp4").touch()
    command = ["manifest", "folder", "--root", f"{tmp_path}/videos", "--output", f"{tmp_path}/{EVIL}.csv"]
    assert cli.main(command) == 0
    assert not controls(capsys.readouterr().out)
    assert cli.main([*command, "--json"]) == 0
    document = capsys.readouterr().out
    assert not controls(document)
    assert json.loads(document)["manifest"] == f"{tmp_path}/{EVIL}.csv"


def test_log_messages(caplog: pytest.LogCaptureFixture):
    assert cli.main(["flops", "--model", "no"]) == 2  # sets up logging
    logging.getLogger("vidsemi").warning("%s cannot be read\n%s", EVIL, 5)
    assert not controls(caplog.records[-1].getMessage())
    assert caplog.records[-1].getMessage().endswith("cannot be read\n5")
