"""Several stages at once: the same results, the same end by errors and signals."""

import json
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vidsemi
from tests.helpers import warm
from tests.helpers.job_stages import ActingStage, run_stages
from vidsemi.cli import main as cli
from vidsemi.config import Config, Runtime
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.jobs import ready
from vidsemi.runtime.process import usable_cores
from vidsemi.runtime.ray_cluster import AUTHENTICATION
from vidsemi.training.checkpoint import Checkpoints

STOPS = """
import sys
from pathlib import Path
from tests.helpers.job_stages import ActingStage, run_stages
from vidsemi.cli.main import run_command
from vidsemi.cli.options import Parser

def command(options):
    stages = [ActingStage(0, "until stopped"), ActingStage(1, options.does), ActingStage(2)]
    run_stages(stages, options.output, lambda stage, metrics: print("done", stage.number))

def parser():
    one = Parser()
    one.add_argument("does")
    one.add_argument("output", type=Path)
    one.set_defaults(command=command, json=False)
    return one

if __name__ == "__main__":
    sys.exit(run_command(parser))
"""


@given(st.data())
def test_stages_run_once_after_those_that_they_read_and_in_order(data: st.DataObject):
    stages: list[ActingStage] = []
    for number in range(data.draw(st.integers(1, 12))):
        reads = data.draw(st.lists(st.sampled_from(stages), max_size=3, unique=True)) if stages else []
        stages.append(ActingStage(number, reads=tuple(reads)))
    jobs, choose = data.draw(st.integers(1, 4)), random.Random(data.draw(st.integers(0, 99)))
    todo, running, done = [*stages], [], []
    while todo or running:
        found = ready(todo, running)
        assert found == [own for own in todo if all(one in done for one in own.inputs)]
        assert found or running  # never stuck
        for stage in found[: jobs - len(running)]:
            todo.remove(stage)
            running.append(stage)
        done.append(running.pop(choose.randrange(len(running))))
    assert sorted(done, key=stages.index) == stages


def test_jobs_share_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.chdir(tmp_path)
    stages = [ActingStage(0, "until stopped"), ActingStage(1, "refuse")]
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError) as caught:
        run_stages(stages, Path("out"), lambda stage, metrics: None)
    assert caught.value.code == "test.refused"
    assert Path("out/0/checkpoint").exists()
    first, second, third = ActingStage(2, "tell"), ActingStage(3), ActingStage(4)
    last = ActingStage(5, reads=(first, second))
    stages, found = [first, second, third, last], {}
    caplog.clear()
    run_stages(stages, Path("out"), lambda stage, metrics: found.update({stage: metrics}))
    assert found.keys() == set(stages)
    order = [*found]
    assert order.index(last) > max(order.index(first), order.index(second))
    cores = max(usable_cores() // 2, 1)
    assert all(own.items() >= {"jobs": 2, "cores": cores, "folder": str(tmp_path)}.items() for own in found.values())
    assert {own["job"] for own in found.values()} <= {0, 1}
    told = [record.getMessage() for record in caplog.records]
    assert told.count("0: told") == told.count("0: titled") == told.count("0: started") == 1
    assert sum("0: " in own and "UserWarning: warned" in own for own in told) == 1
    record = json.loads(Path("out/3/stage.json").read_text())
    assert record["status"] == "done" and record["metrics"] == found[last]


@pytest.mark.cluster
@pytest.mark.slow
def test_jobs_share_a_ray_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the cores of the machine, which ends with the run, and which nobody else can use."""
    monkeypatch.setenv("RAY_ADDRESS", "local")
    before = dict(os.environ)
    stages, found = [ActingStage(number, "join") for number in range(2)], {}
    runtime = Runtime(device="cpu", engine="ray")
    run_stages(stages, tmp_path / "out", lambda stage, metrics: found.update({stage: metrics}), runtime)
    first, second = found.values()
    assert first == second and first["cpus"] == usable_cores()
    assert not psutil.pid_exists(first["raylet"])
    assert {name: os.environ.get(name) for name in ("RAY_ADDRESS", *AUTHENTICATION)} == {
        name: before.get(name) for name in ("RAY_ADDRESS", *AUTHENTICATION)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "status", "says"),
    [
        ("refuse", 2, "stage 1 refuses [test.refused]"),
        ("fail", 1, "ValueError: stage 1 fails"),
        ("die", 2, "1: its process has ended (SIGKILL)"),
        ("terminate", 143, "resume with"),
        ("interrupt all", 130, "resume with"),
    ],
)
def test_the_other_stages_stop_as_they_should(tmp_path: Path, does: str, status: int, says: str):
    (tmp_path / "stops.py").write_text(STOPS)
    done = warm.run(tmp_path / "stops.py", does, tmp_path / "out", session=True, PYTHONPATH=str(warm.REPOSITORY))
    assert done.returncode == status, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert ("Traceback" in done.stderr) == (status == 1)
    assert (tmp_path / "out/0/checkpoint").exists()
    assert not (tmp_path / "out/2").exists()
    assert "done" not in done.stdout
    statuses = [json.loads((tmp_path / f"out/{name}/stage.json").read_text())["status"] for name in (0, 1)]
    assert statuses == ["running"] * 2


SCRIPT = """
import os, signal, sys, time
import vidsemi
from vidsemi.cli import main as cli
from vidsemi.runtime.process import job_number
from vidsemi.training.preemption import GracefulShutdown
from vidsemi.training.train_step import TrainStep

vidsemi.register_policy("of_this_script")(type("Own", (vidsemi.Policy,), {}))  # so that the jobs import this script
step, note, calls, noted = TrainStep.run, GracefulShutdown._note, [], []

def ends(*given):
    calls.append(1)
    if len(calls) == 3 + 2 * job_number():
        open(sys.argv[1], "wb" if job_number() else "rb").close()  # a FIFO: both are here
        if job_number():
            os.killpg(0, signal.SIGINT)
        while not noted:
            time.sleep(0.01)
    return step(*given)

TrainStep.run = ends
GracefulShutdown._note = lambda *given: (noted.append(1), note(*given))
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_trainings_side_by_side_resume(train_arguments: Callable[..., list[str]], tmp_path: Path):
    """Ctrl-C in the third step of one and the fifth of the other."""
    (tmp_path / "script.py").write_text(SCRIPT)
    os.mkfifo(tmp_path / "fifo")
    arguments = train_arguments("seeds=[0, 5]")
    words = [tmp_path / "script.py", tmp_path / "fifo", *arguments, "--jobs", "2"]
    done = warm.run(*words, session=True, OMP_NUM_THREADS="1")
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    run = tmp_path / "run"
    newest = [Checkpoints(run / f"seed{seed}/teacher/train").files()[0].name for seed in (0, 5)]
    assert newest == ["checkpoint-000000000024.pt", "checkpoint-000000000040.pt"]
    assert cli.main(arguments) == 0
    assert cli.main([*arguments, f"output={tmp_path / 'straight'}"]) == 0
    for seed in (0, 5):
        file = Path(f"seed{seed}/teacher/train/weights.pt")
        assert (run / file).read_bytes() == (tmp_path / "straight" / file).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_jobs_change_no_result(load: Callable[..., Config], tmp_path: Path):
    """Networks of their own, so that two trainings run at once."""
    more = "students=[{name: small, model: r2plus1d_10, frames: 2, args: {width: 0.0625}}]"
    calls: list[int] = []
    rows = pipeline.run(load(f"output={tmp_path / 'one'}", more), on_progress=lambda: calls.append(1))
    assert len(calls) > len(rows)
    calls.clear()
    with_workers = load(f"output={tmp_path / 'two'}", more, "runtime.workers=1")
    assert pipeline.run(with_workers, jobs=2, on_progress=lambda: calls.append(2)) == rows
    assert calls
    names = ("weights.pt", "selection.parquet", "classes.csv", "predictions.parquet", "results.json", "part-*.parquet")
    files = [file.relative_to(tmp_path / "one") for name in names for file in (tmp_path / "one").rglob(name)]
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_an_impossible_number_of_jobs_is_refused(tiny_config: Callable[..., Path], jobs: Any):
    with pytest.raises(UserError) as caught:
        vidsemi.run(tiny_config(), jobs=jobs)
    assert caught.value.code == "jobs.invalid"


@pytest.mark.parametrize("jobs", ["0", "-1", "1.5", "many"])
def test_on_the_command_line_too(tiny_config: Callable[..., Path], capsys: pytest.CaptureFixture[str], jobs: str):
    assert cli.main(["run", "--cfg", str(tiny_config()), "--jobs", jobs]) == 2
    last = capsys.readouterr().err.splitlines()
    assert len(last) == 1 and jobs in last[0] and "[options.invalid]" in last[0]


def test_torchrun_and_jobs_are_not_combined(load: Callable[..., Config], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError) as caught:
        vidsemi.run(load().model_dump(), jobs=2)
    assert caught.value.code == "jobs.torchrun"
