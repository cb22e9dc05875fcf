"""What a run shows while it runs: a table on a terminal, lines elsewhere, run.log."""

import io
import os
import pty
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.helpers import warm
from vidsemi.api import live_report
from vidsemi.api.live_report import LiveReport
from vidsemi.cli import main as cli
from vidsemi.io.progress import Progress, show_progress
from vidsemi.pipeline.board import Board, StageStatus
from vidsemi.pipeline.live_table import _render, window

STATUSES = st.sampled_from(["to do", "running", "done", "stopped"])
CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@given(st.lists(STATUSES, min_size=1, max_size=40), st.integers(1, 50))
def test_what_runs_is_in_the_window(statuses: list[str], room: int):
    shown = window(statuses, room)
    assert shown == sorted(set(shown)) and len(shown) == min(room, len(statuses))
    running = {number for number, status in enumerate(statuses) if status in ("running", "stopped")}
    assert running <= set(shown) or set(shown) <= running
    if not running and "to do" in statuses:
        assert statuses.index("to do") in shown


def test_rate_and_time_left():
    stage = StageStatus("a")
    assert stage.rate is None and stage.left is None
    for second in range(100):
        stage.add(Progress("a", "clip", 7 * second if second < 50 else 350 + 2 * (second - 50), 1000), second)
    assert stage.rate == 2  # of the last 30 seconds
    assert stage.left == (1000 - 448) / 2
    stage.add(Progress("a", "clip", 100, 1000), 101)  # units are done again
    assert stage.rate is None


def board_of(output: Path, count: int) -> Board:
    output.mkdir()
    return Board(output, {f"seed{number}/\x1b[2Jname[red]": number < 3 for number in range(count)}, 2)


def test_hundreds_of_stages_and_hostile_names(tmp_path: Path):
    with board_of(tmp_path / "out", 300) as board:
        names = [*board.stages]
        board.begin(names[200])
        board.show(names[200], Progress("x", "clip", 30, 120, "loss 0.5\x1b[2J"))
        file = io.StringIO()
        console = Console(file=file, width=130, height=20, force_terminal=True, color_system=None)
        console.print(_render(board, console))
    lines = file.getvalue().rstrip("\n").split("\n")
    assert len(lines) == 18
    assert "\x1b" not in file.getvalue()
    row = next(line for line in lines if line.startswith("running"))
    assert "seed200/\\x1b[2Jname[red]" in row and "25% of 120 clips, loss 0.5\\x1b[2J" in row
    assert lines[-1].startswith("300 stages: 3 done, 1 running, 296 to do; ")
    assert board.stages[names[200]].status == "stopped"
    assert "\x1b" not in (tmp_path / "out/run.log").read_text()


def test_a_function_is_called_for_all_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    received: list[Progress] = []
    with show_progress(received.append), board_of(tmp_path / "out", 1) as board:
        name = next(iter(board.stages))
        board.begin(name)
        board.show(name, Progress("x", "clip", 1, 2))
    assert received == [Progress("x", "clip", 1, 2)]
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.log").mkdir()
    with Board(tmp_path / "out", {"a": False}, 1) as board, board.running("a"):
        pass
    assert board.stages["a"].status == "done"


@pytest.mark.slow
def test_lines_and_run_log(
    train_arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(train_arguments()) == 0
    assert re.search(r"^seed0/teacher/train: 48 of 48 clips, .* left, loss", capsys.readouterr().err, re.MULTILINE)
    log = tmp_path / "run" / "run.log"
    first = log.read_text()
    assert cli.main(train_arguments("runtime.workers=0")) == 0
    assert log.read_text().startswith(first)
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ", line) for line in lines)
    texts = [re.sub(r"\d+\.\d s", "N s", line[21:]) for line in lines]
    assert texts[1:4] == ["seed0/teacher/train: started", "seed0/teacher/train: done in N s", "done"]
    assert texts[5:] == ["seed0/teacher/train: already done", "done"]


@pytest.mark.slow
def test_a_terminal_gets_one_table(train_arguments: Callable[..., list[str]], tmp_path: Path):
    ours, theirs = pty.openpty()
    command = ["-m", "vidsemi", *train_arguments()]
    running = warm.Command(*command, stderr=Path(os.ttyname(theirs)), session=True, TERM="xterm")
    printed: list[bytes] = []

    def read() -> None:
        while not printed or b"\x04" not in printed[-1]:
            printed.append(os.read(ours, 1 << 16))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert running.wait() == 0
    os.write(theirs, b"\x04")  # the end of what was printed
    reader.join(60)
    text = b"".join(printed).decode().replace("\r", "").strip("\x04")
    assert "running  seed0/teacher/train" in CODE.sub("", text)
    last = CODE.sub("", text.rpartition("\x1b[1A\x1b[2K")[2]).splitlines()
    assert last[0].startswith("done  seed0/teacher/train ")
    assert last[1].startswith("1 stage: 1 done; ")
    assert "started" not in text and "48 of 48" not in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_reports_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    now, written = [100.0], []

    def write(folders: list[Path], output: Path) -> None:
        written.append(now[0])
        now[0] += 2
        raise ValueError("no such plot")

    monkeypatch.setattr(live_report, "write_report", write)
    monkeypatch.setattr(live_report.time, "monotonic", lambda: now[0])
    report = LiveReport(tmp_path)
    for _ in range(250):
        report()
        now[0] += 1
    assert written == [100, 202, 304]  # each takes 2 s, of which 100 s are the fiftieth part
    assert caplog.text.count("no such plot") == 1
