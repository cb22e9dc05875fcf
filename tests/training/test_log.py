"""The training log: train.jsonl after kills and resumes, TensorBoard's event files, calls of Weights & Biases."""

import importlib.util
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from vidsemi.cli import main as cli
from vidsemi.config import Log
from vidsemi.config.load import load_config
from vidsemi.io.errors import UserError
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import resolve
from vidsemi.training.log import LOG, TrainingLog, check_log, read_log

PLAIN = Log(tensorboard=False)


def write_steps(folder: Path, steps: list[int], begin: int = 0, log: Log = PLAIN, checkpoint: int = 0) -> None:
    """Log a run that resumes from `begin` and is killed after the given steps."""
    with TrainingLog(folder, "teacher/train", log, examples=begin) as written:
        written.write("begin", examples=begin, processes=1, device="cpu")
        for examples in steps:
            written.write("step", examples=examples, loss=100.0 / examples, accuracy=None, learning_rate=float(begin))
            if examples == checkpoint:
                written.write("checkpoint", examples=examples, file="checkpoint.pt")


def steps_of(folder: Path) -> list[tuple[int, float]]:
    """Examples of each step, and where the run that logged it was resumed from."""
    return [(event["examples"], event["learning_rate"]) for event in read_log(folder / LOG) if event["event"] == "step"]


def test_events_are_written_at_once(tmp_path: Path):
    with TrainingLog(tmp_path, "t", PLAIN, examples=0) as log:
        log.write("begin", examples=0, step=0, processes=2, micro_batches=1, device="cuda", precision="bfloat16")
        (event,) = read_log(tmp_path / LOG)
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
        assert event == {
            "event": "begin", "examples": 0, "step": 0, "processes": 2, "micro_batches": 1, "device": "cuda",
            "precision": "bfloat16",
        }  # fmt: skip
        log.write("step", examples=8, loss=1.5)
        assert [event["event"] for event in read_log(tmp_path / LOG)] == ["begin", "step"]
    assert [file.name for file in tmp_path.iterdir()] == [LOG]


def test_steps_that_a_resumed_run_repeats_are_logged_once(tmp_path: Path):
    write_steps(tmp_path, [10, 20, 30], checkpoint=20)
    write_steps(tmp_path, [30, 40, 50], begin=20, checkpoint=40)
    write_steps(tmp_path, [50, 60], begin=40)
    assert steps_of(tmp_path) == [(10, 0), (20, 0), (30, 20), (40, 20), (50, 40), (60, 40)]
    kinds = [event["event"] for event in read_log(tmp_path / LOG)]
    assert (kinds.count("begin"), kinds.count("checkpoint")) == (3, 2)


def test_a_run_that_starts_over_starts_its_log_over(tmp_path: Path):
    write_steps(tmp_path, [10, 20, 30])
    write_steps(tmp_path, [10])
    assert [event["event"] for event in read_log(tmp_path / LOG)] == ["begin", "step"]


@pytest.mark.parametrize("torn", [b'{"event": "step", "exam', b'{"event": "step", "loss": "\xc3', b"\0\0\0\0"])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: bytes):
    write_steps(tmp_path, [10, 20])
    with open(tmp_path / LOG, "ab") as file:
        file.write(torn)
    assert steps_of(tmp_path) == [(10, 0), (20, 0)]
    write_steps(tmp_path, [30], begin=20)
    assert steps_of(tmp_path) == [(10, 0), (20, 0), (30, 20)]
    assert [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()] == read_log(tmp_path / LOG)


def test_only_objects_are_events_and_no_file_has_none(tmp_path: Path):
    (tmp_path / LOG).write_text('[1]\n\n{"examples": 3}\nnull\n"text"\n' + "[" * 100_000 + "\n", encoding="utf-8")
    assert read_log(tmp_path / LOG) == [{"examples": 3}]
    assert read_log(tmp_path / "gone") == read_log(tmp_path) == read_log(Path("/dev/zero")) == []


def test_nan_and_infinity_become_null(tmp_path: Path):
    def refuse(name: str) -> None:
        raise AssertionError(name)

    with TrainingLog(tmp_path, "t", PLAIN, examples=0) as log:
        log.write("step", examples=8, loss=math.nan, gradient_norm=math.inf, accuracy=0.5)
    event = json.loads((tmp_path / LOG).read_text(), parse_constant=refuse)
    assert (event["loss"], event["gradient_norm"], event["accuracy"]) == (None, None, 0.5)


def test_a_full_disk_names_the_log(tmp_path: Path):
    (tmp_path / LOG).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_steps(tmp_path, [10])
    assert caught.value.filename == str(tmp_path / LOG)


def test_other_errors_keep_their_file_name(tmp_path: Path):
    with pytest.raises(OSError, match="of the decoder") as caught, TrainingLog(tmp_path, "t", Log(), examples=0):
        raise OSError("of the decoder")
    assert caught.value.filename is None


def curves_in(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: tag → (step, value)."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulators.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_shows_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writing = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    names = iter(range(100, 200))
    monkeypatch.setattr(writing._global_uid, "get", lambda: next(names))  # files of one second are read by their names
    write_steps(tmp_path, [10, 20, 30, 40], log=Log(), checkpoint=20)  # where it is installed, by default
    write_steps(tmp_path, [35], begin=20, log=Log(tensorboard=True))
    curves = curves_in(tmp_path)
    assert set(curves) == {"loss", "learning_rate"}  # no accuracy was known
    assert curves["loss"] == [(step, pytest.approx(100 / step)) for step in (10, 20, 35)]
    assert curves["learning_rate"] == [(10, 0), (20, 0), (35, 20)]
    write_steps(tmp_path, [15], log=Log())
    assert curves_in(tmp_path)["loss"] == [(15, pytest.approx(100 / 15))]


def test_a_checkpoint_flushes_tensorboard(tmp_path: Path):
    """Or a kill just after it would leave a gap, because earlier steps are not repeated."""
    with TrainingLog(tmp_path, "t", Log(), examples=0) as log:
        for examples in (10, 20):
            log.write("step", examples=examples, loss=1.0)
        log.write("checkpoint", examples=20, file="checkpoint.pt")
        assert [step for step, _ in curves_in(tmp_path)["loss"]] == [10, 20]


@pytest.mark.slow
def test_tensorboard_leaves_no_threads_and_is_not_imported_unasked(tmp_path: Path):
    code = f"""
import sys, threading
from pathlib import Path
from vidsemi.config import Log
from vidsemi.training.log import TrainingLog, check_log
check_log(Log(tensorboard=True))
with TrainingLog(Path({str(tmp_path)!r}), "t", Log(tensorboard=False), examples=0) as log:
    log.write("step", examples=1, loss=1.0)
assert not {{"torch", "tensorboard", "numpy", "wandb"}} & set(sys.modules)
for begin in range(3):
    with TrainingLog(Path({str(tmp_path)!r}), "t", Log(), examples=begin) as log:
        log.write("step", examples=begin + 1, loss=1.0)
assert threading.active_count() == 1
"""
    pytest.importorskip("tensorboard")
    subprocess.run([sys.executable, "-c", code], check=True)


class Recorder(ModuleType):
    """Replaces wandb and records its calls."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None, origin="recorder")
        self.calls: list[tuple[str, Any]] = []
        self.config = self

    def init(self, **words: Any) -> "Recorder":
        if words["project"] == "forbidden":
            raise self.Error("permission denied")
        self.calls.append(("init", words))
        return self

    def update(self, values: dict, *, allow_val_change: bool) -> None:
        self.calls.append(("config", values))

    def log(self, values: dict, step: int) -> None:
        self.calls.append(("log", (step, values)))

    def finish(self, exit_code: int = 0) -> None:
        self.calls.append(("finish", exit_code))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    return recorder


def test_wandb_gets_the_steps_only_if_asked_for(tmp_path: Path, wandb: Recorder):
    write_steps(tmp_path, [10], log=PLAIN)
    assert wandb.calls == []
    write_steps(tmp_path, [10, 20], log=Log(tensorboard=False, wandb="videos"), checkpoint=10)
    (_, init), *rest = wandb.calls
    assert (init["project"], init["name"], init["resume"], init["dir"]) == (
        "videos",
        "teacher/train",
        "allow",
        tmp_path,
    )
    assert rest == [
        ("config", {"processes": 1, "device": "cpu"}),
        ("log", (10, {"loss": 10.0, "learning_rate": 0.0})),
        ("log", (20, {"loss": 5.0, "learning_rate": 0.0})),
        ("finish", 0),
    ]


def test_a_resumed_run_is_the_same_wandb_run_and_no_other_is(tmp_path: Path, wandb: Recorder):
    log = Log(tensorboard=False, wandb="videos")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_steps(tmp_path / folder, [10], log=log)
    with pytest.raises(KeyboardInterrupt), TrainingLog(tmp_path / "a", "t", log, examples=10):
        raise KeyboardInterrupt
    first, other, again = [words["id"] for kind, words in wandb.calls if kind == "init"]
    assert first == again != other
    assert wandb.calls[-1] == ("finish", 1)


def test_errors_of_wandb_are_one_line(tmp_path: Path, wandb: Recorder):
    with pytest.raises(UserError, match=r"log\.wandb: permission denied") as error:
        write_steps(tmp_path, [10], log=Log(wandb="forbidden"))
    assert error.value.code == "log.wandb_failed"


def test_the_query_of_the_docs_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    folders = [Path("runs/demo/seed0/teacher/train"), Path("runs/demo/seed1/small/semi_supervised/pretrain")]
    for folder in folders:
        folder.mkdir(parents=True)
        with TrainingLog(folder, "t", PLAIN, examples=0) as log:
            for examples, waited in ((10, 0.5), (20, 0.25)):
                log.write("step", examples=examples, loss=100 / examples, waited=waited)
    with open(folders[1] / LOG, "a") as file:
        file.write('{"event": "step", "exam')
    (*_, question) = re.findall(r"```sql\n(.*?)```", (REPOSITORY / "docs/guides/reporting.md").read_text(), re.DOTALL)
    assert duckdb.sql(question).fetchall() == [(f"{folder}/{LOG}", 20, 5.0, 0.375) for folder in folders]


@pytest.mark.parametrize("found", [None, ModuleSpec("folder", None)], ids=["absent", "a mere folder of that name"])
def test_a_missing_package_is_named_before_anything_runs(
    found: ModuleSpec | None, tiny_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
):  # fmt: skip
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    for setting, package in {"log.tensorboard=true": "tensorboard", "log.wandb=videos": "wandb"}.items():
        assert cli.main(["run", "--cfg", str(tiny_config()), setting]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert all(words in line for words in (f"log.{package}", f"'vidsemi[{package}]'", "[log.not_installed]"))
    check_log(Log())
    write_steps(tmp_path, [10], log=Log())
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.slow
def test_log_settings_are_not_in_fingerprints(tiny_config: Callable[..., Path], wandb: Recorder):
    def fingerprints(*settings: str) -> list[str]:
        config = load_config(str(tiny_config()), settings)
        return [stage.fingerprint for stage in plan_run(resolve(config)).stages]

    assert fingerprints() == fingerprints("log.tensorboard=false", "log.wandb=videos")
