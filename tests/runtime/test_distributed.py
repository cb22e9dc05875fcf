"""Several processes, two of them under torchrun: the results of one process, one set of messages, one exit."""

import json
import logging
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.helpers import warm
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.io.progress import progress_bar
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.lock import locked

WriteConfig = Callable[..., Path]

MESSAGES = """
import json
from vidsemi.runtime.distributed import any_of, done_by_first, first_before_others, from_first, gather
from vidsemi.runtime.distributed import process_group, processes

with process_group():
    rank = processes().rank
    with first_before_others(), open("order", "a") as file:
        print(rank, file=file)
    lengths = [len(text) for text in gather(5_000_000 * rank * "x")]  # in pieces: the store takes 8 MiB at once
    received = [lengths, from_first(rank), done_by_first(lambda: rank), any_of(rank == 1), any_of(False)]
    with open(f"{rank}.json", "w") as file:
        json.dump(received, file)
"""

ONE_FAILS = """
import sys
from vidsemi.cli import main as cli
from vidsemi.cli import models
from vidsemi.runtime.distributed import gather, process_group, processes
from vidsemi.io.errors import UserError

def flops(options):
    with process_group():
        if processes().rank == 1:
            raise UserError("disk.gone", "the disk is away")
        gather(None)

models.flops = flops
sys.exit(cli.main(["flops", "--model", "resnet18", "--frames", "1"]))
"""

TRAINS = """
import sys
from vidsemi.cli import main as cli
from vidsemi.io import progress

progress.SECONDS = 0.1
sys.exit(cli.main(["run", *sys.argv[1:]]))
"""


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]  # torchrun sets one; several round otherwise


def torchrun(processes: int, *arguments: object) -> list[object]:
    """Words after `python` that start torchrun, on a free port."""
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, *arguments]


def messages(stderr: str) -> list[str]:
    """vidsemi's messages, among torchrun's if it is there; there must be no traceback of vidsemi."""
    assert f'File "{REPOSITORY}/vidsemi' not in stderr, stderr
    assert "terminate called" not in stderr, stderr
    return [line for line in stderr.splitlines() if line.startswith("vidsemi: ")]


def test_messages_between_processes(tmp_path: Path):
    (tmp_path / "messages.py").write_text(MESSAGES)
    for result in warm.launch(3, tmp_path / "messages.py", cwd=tmp_path, serve_store=True, OMP_NUM_THREADS="1"):
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "order").read_text().split()[0] == "0"
    for rank in range(3):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [[0, 5_000_000, 10_000_000], 0, 0, True, False]


def test_the_error_of_a_process_names_its_rank_and_the_others_end(tmp_path: Path):
    (tmp_path / "fails.py").write_text(ONE_FAILS)
    result = warm.run(*torchrun(2, "fails.py"), cwd=tmp_path, PYTHONPATH=str(REPOSITORY))
    assert result.returncode != 0
    lines = messages(result.stderr)
    assert "vidsemi: error: rank 1 of 2: the disk is away [disk.gone]" in lines
    assert set(lines[1:]) <= {"vidsemi: terminated; resume with: the same torchrun command"}


@pytest.mark.parametrize("examples", [17, 2])
def test_three_processes_evaluate_like_one(
    examples: int, weights: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Of 17 videos, one of which cannot be read, and of fewer than there are processes."""
    header, *lines = (shapes / "test.csv").read_text().splitlines()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = [f"{tmp_path}/broken.mp4,drifting east", *(f"{shapes}/{line}" for line in lines)][:examples]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]))
    command = ["evaluate", "--weights", str(weights), "--manifest", str(tmp_path / "m.csv"), "--json"]
    command += ["--views", "2", "--workers", "0", "--device", "cpu", "--by-class", str(tmp_path / "classes.csv")]
    assert cli.main(command) == 0
    alone = json.loads(capsys.readouterr().out)
    assert (alone["read"], alone["total"]) == (examples - 1, examples)
    by_class = (tmp_path / "classes.csv").read_bytes()
    (tmp_path / "classes.csv").unlink()
    results = warm.launch(3, "-m", "vidsemi", *command, OMP_NUM_THREADS="1")
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert json.loads(results[0].stdout) == alone
    assert (tmp_path / "classes.csv").read_bytes() == by_class
    assert sum(result.stderr.count("can be read; the others count as wrong") for result in results) == 1
    assert results[1].stdout == results[2].stdout == ""


def test_two_processes_run_like_one(tiny_config: WriteConfig, tmp_path: Path):
    config, alone, together = tiny_config(), tmp_path / "alone", tmp_path / "together"
    rows = pipeline.run(load_config(str(config), [f"output={alone}"]))
    shutil.copytree(alone, together)
    for name in ("teacher/evaluate", "teacher/score", "teacher/select", "small/semi_supervised/finetune"):
        shutil.rmtree(together / "seed0" / name)
    shutil.rmtree(together / "seed0/small/semi_supervised/evaluate")
    (together / "results.json").unlink()

    results = warm.launch(2, "tools/run.py", "--cfg", config, f"output={together}", "--json", OMP_NUM_THREADS="1")
    stderr = "".join(result.stderr for result in results)
    assert [result.returncode for result in results] == [0, 0], stderr
    assert messages(stderr) == [] and results[1].stdout == ""
    document = json.loads(results[0].stdout)
    assert document["results"] == json.loads((together / "results.json").read_text())
    assert document["results"][:2] == rows[:2]  # of the same weights
    assert [row.keys() for row in document["results"]] == [row.keys() for row in rows]
    assert (together / "report.html").is_file()

    def records(run: Path) -> dict[str, Any]:
        return {str(file.relative_to(run)): json.loads(file.read_text()) for file in run.rglob("stage.json")}

    done, expected = records(together), records(alone)
    assert {name: record["status"] for name, record in done.items()} == dict.fromkeys(expected, "done")
    assert all(done[name]["fingerprint"] == record["fingerprint"] for name, record in expected.items())
    of_one, of_two = (pq.read_table(run / "seed0/teacher/evaluate/predictions.parquet") for run in (alone, together))
    assert of_one.select(["example_id", "path"]).equals(of_two.select(["example_id", "path"]))
    np.testing.assert_allclose(of_one["score_1"].to_numpy(), of_two["score_1"].to_numpy(), atol=1e-6)
    parts = sorted(file.relative_to(alone) for file in alone.rglob("score/**/*.parquet"))
    assert len(parts) == 6
    for file in [*parts, Path("seed0/teacher/select/selection.parquet")]:
        assert (together / file).read_bytes() == (alone / file).read_bytes(), file
    assert stderr.count("seed0/teacher/train: already done") == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.test=nowhere.csv"], "[manifest.missing_file]"),
        ([], "another process is running in"),
    ],
)
def test_a_wrong_input_is_reported_once(overrides: list[str], words: str, tiny_config: WriteConfig, tmp_path: Path):
    with locked(tmp_path / "run"):
        command = ["tools/run.py", "--cfg", tiny_config(), *overrides, "--json"]
        results = warm.launch(2, *command, serve_store=True, OMP_NUM_THREADS="1")
    assert all(result.returncode for result in results)
    assert not any(result.stdout for result in results)
    (line,) = messages("".join(result.stderr for result in results))
    assert line.startswith("vidsemi: error: ")
    assert words in line
    assert not list((tmp_path / "run").rglob("stage.json"))


def test_all_save_and_exit_when_torchrun_is_terminated(tiny_config: WriteConfig, tmp_path: Path):
    config = tiny_config()
    (tmp_path / "trains.py").write_text(TRAINS)
    words = torchrun(2, tmp_path / "trains.py", "--cfg", config, "train.supervised.examples=1000000")
    os.mkfifo(tmp_path / "stderr")
    process = warm.Command(*words, stderr=tmp_path / "stderr", session=True, PYTHONPATH=str(REPOSITORY))
    with open(tmp_path / "stderr") as stderr:
        assert any(re.search(r"seed0/teacher/train: [1-9]\d* of", line) for line in stderr)  # all are training
        os.kill(process.pid, signal.SIGTERM)
        rest = stderr.read()
    assert process.wait(timeout=60) != 0
    assert messages(rest) == ["vidsemi: terminated; resume with: the same torchrun command"]
    assert list(config.parent.glob("run/seed0/teacher/train/checkpoint-*.pt"))
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def test_no_progress_bar_on_processes_that_show_no_messages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("vidsemi"), "level", logging.WARNING)
    with progress_bar(30, "video", "score") as bar:
        bar.update(30)
    assert capsys.readouterr().err == ""
