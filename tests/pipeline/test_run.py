"""The whole method on small clips: what a run leaves, what it does not do twice, what it refuses."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.io.errors import UserError
from vidsemi.pipeline import resolve
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.lock import locked
from vidsemi.selection.result import Selection

LoadConfig = Callable[..., Config]


def snapshot(output: Path) -> dict[str, int]:
    """When each file of a run was last written, results.json and run.log aside."""
    return {
        str(file.relative_to(output)): file.stat().st_mtime_ns
        for file in output.rglob("*")
        if file.is_file() and file.name not in ("results.json", "run.log", ".lock")
    }


@pytest.mark.slow
def test_a_run_leaves_what_the_contract_says(finished_run: Path, shapes: Path):
    rows = json.loads((finished_run / "results.json").read_text())
    assert [(row["student"], row["approach"], row["seed"]) for row in rows] == [
        (student, approach, seed)
        for seed in (0, 5)
        for student, approach in (("teacher", "teacher"), ("small", "supervised"), ("small", "semi_supervised"))
    ]
    needed = {"student", "approach", "seed", "top1", "top5", "mean_class_top1", "views", "gmacs_per_view", "parameters"}
    for row in rows:
        assert needed | {"weights", "read", "total"} <= row.keys()
        assert (finished_run / row["weights"]).is_file()
        assert row["views"] == 2
        assert row["test_set"] == hashlib.sha256((shapes / "test.csv").read_bytes()).hexdigest()
        assert row["read"] == row["total"] == 16
    for name in ("teacher/train", "teacher/score", "teacher/select", "small/semi_supervised/finetune"):
        record = json.loads((finished_run / "seed5" / name / "stage.json").read_text())
        assert record["status"] == "done"
        assert {"fingerprint", "fields", "inputs", "seconds", "metrics"} <= record.keys()
    assert record["inputs"].keys() == {"seed5/small/semi_supervised/pretrain"}
    selection = Selection.read(finished_run / "seed0/teacher/select/selection.parquet")
    assert selection.info.per_class == 3
    assert selection.label.max() < 8
    shard = pq.read_metadata(finished_run / "seed0/teacher/score/part-000000.parquet")
    metadata = json.loads(shard.metadata[b"vidsemi"])
    assert (
        metadata["manifest"]
        == selection.info.scores.manifest
        == json.loads((finished_run / "seed0/teacher/score/stage.json").read_text())["fields"]["unlabeled"]
    )


@pytest.mark.slow
def test_a_stage_that_is_done_is_not_run_again(load: LoadConfig, copied_run: Path):
    rows = json.loads((copied_run / "results.json").read_text())
    before = snapshot(copied_run)
    assert pipeline.run(load()) == rows
    assert snapshot(copied_run) == before
    # a further student leaves alone what was there
    network = "model: r2plus1d_10, args: {width: 0.0625}"
    other = f"{{name: other, frames: 1, {network}, approaches: [supervised]}}"
    more = load(f"students=[{{name: small, frames: 4, {network}}}, {other}]", "seeds=[0]")
    students = [row["student"] for row in pipeline.run(more)]
    assert students == ["teacher", "small", "small", "other", "teacher", "small", "small"]
    assert before.items() <= snapshot(copied_run).items()


@pytest.mark.slow
def test_the_machine_does_not_change_the_result(load: LoadConfig, copied_run: Path):
    before = snapshot(copied_run)
    pipeline.run(load("runtime.workers=1", "runtime.clips_per_forward=3", "runtime.checkpoint_seconds=1"))
    assert snapshot(copied_run) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("train.supervised.learning_rate=0.5", "recipe.learning_rate was 0.01, is now 0.5"),
        ("select.per_class=2", "per_class was 3, is now 2"),
        ("evaluate.views=1", "views was 2, is now 1"),
        ("score.views=1", "views was 2, is now 1"),
        ("input.crop=12", "input.crop was 16, is now 12"),
        ("students.0.args.width=0.125", "network.args.width was 0.0625, is now 0.125"),
    ],
)
def test_the_directory_of_a_different_config_is_refused_and_kept(
    load: LoadConfig, finished_run: Path, override: str, difference: str
):
    before = snapshot(finished_run)
    with pytest.raises(UserError) as caught:
        pipeline.run(load(f"output={finished_run}", override))
    assert caught.value.code == "stage.different_config"
    assert difference in str(caught.value)
    assert snapshot(finished_run) == before


@pytest.mark.slow
def test_a_run_that_was_killed_ends_like_one_that_was_not(
    load: LoadConfig, tmp_path: Path, die_in_steps: Callable[..., list[int]]
):
    straight = pipeline.run(load(f"output={tmp_path / 'straight'}", "seeds=[0]"))
    config = load("seeds=[0]", "runtime.checkpoint_seconds=0.000001")
    die_in_steps(2, 5, 9)
    stops = 0
    while True:
        try:
            rows = pipeline.run(config)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == 3
    assert rows == straight


@pytest.mark.slow
def test_until_leaves_out_later_stages(load: LoadConfig):
    config = load("seeds=[0]")
    assert pipeline.run(config, until="select") == []
    folders = {file.parent.relative_to(config.output).as_posix() for file in Path(config.output).rglob("stage.json")}
    assert folders == {"seed0/teacher/train", "seed0/teacher/score", "seed0/teacher/select"}
    assert len(pipeline.run(config)) == 3


@pytest.mark.slow
def test_a_training_that_two_approaches_share_is_one_whichever_comes_first(load: LoadConfig):
    config = load("approaches=[supervised]", "seeds=[0]")
    (alone,) = pipeline.run(config)
    teacher, supervised, _ = pipeline.run(load("seeds=[0]"))  # the teacher is the student's network, trained alike
    assert teacher["weights"] == supervised["weights"] == alone["weights"] == "seed0/small/supervised/train/weights.pt"
    assert not (Path(config.output) / "seed0/teacher/train").exists()


def test_two_processes_in_one_directory_are_noticed(load: LoadConfig):
    config = load()
    with locked(Path(config.output)), pytest.raises(UserError) as caught:
        pipeline.run(config)
    assert caught.value.code == "output.in_use"


@pytest.mark.slow
def test_a_killed_run_leaves_its_directory_unlocked(tmp_path: Path):
    hold = "import sys, pathlib; from vidsemi.pipeline.lock import locked\n"
    hold += "with locked(pathlib.Path(sys.argv[1])): print('locked', flush=True), sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError) as caught, locked(tmp_path):
            pass
        assert caught.value.code == "output.in_use"
        holder.kill()
    with locked(tmp_path):
        pass


@pytest.mark.slow
def test_the_same_manifest_under_another_root_is_another_dataset(load: LoadConfig, shapes: Path, tmp_path: Path):
    here = load("seeds=[0]", "approaches=[supervised]", f"data.test={{manifest: {shapes}/test.csv, root: {shapes}}}")
    pipeline.run(here)
    (tmp_path / "moved").symlink_to(shapes)
    there = load(
        "seeds=[0]", "approaches=[supervised]", f"data.test={{manifest: {shapes}/test.csv, root: {tmp_path}/moved}}"
    )
    with pytest.raises(UserError, match=r"test was .*under") as caught:
        pipeline.run(there)
    assert caught.value.code == "stage.different_config"


@pytest.mark.slow
def test_a_selection_from_another_dataset_is_refused(load: LoadConfig):
    config = load("seeds=[0]")
    pipeline.run(config, until="select")
    file = Path(config.output) / "seed0/teacher/select/selection.parquet"
    selection = Selection.read(file)
    other = replace(selection.info.scores, manifest="x" * 64)
    replace(selection, info=replace(selection.info, scores=other)).write(file)
    with pytest.raises(UserError) as caught:
        pipeline.run(config)
    assert caught.value.code == "selection.wrong_manifest"
    assert str(file) in str(caught.value)


@pytest.mark.slow
def test_equal_trainings_leave_equal_files(load: LoadConfig, tmp_path: Path):
    files = []
    for name in ("a", "b"):
        pipeline.run(load(f"output={tmp_path / name}", "seeds=[0]"), until="select")
        folder = tmp_path / name / "seed0/teacher"
        files.append(
            [folder / "train/weights.pt", folder / "score/part-000000.parquet", folder / "select/selection.parquet"]
        )
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_missing_hashtags_are_reported_before_anything_runs(load: LoadConfig, shapes: Path):
    with pytest.raises(UserError) as caught:
        pipeline.check(load("select.policy=balanced_with_tags", f"data.unlabeled={shapes}/labeled.csv"))
    assert caught.value.code == "manifest.missing_hashtags"


def test_check_runs_nothing(load: LoadConfig):
    config = load()
    document, text = pipeline.check(config)
    assert not Path(config.output).exists()
    assert document["labeled"] == 24
    assert document["unlabeled"] == 52
    assert set(document["stages"].values()) == {"to do"}
    assert "seed0/teacher/train" in text


def test_missing_data_names_the_page_that_helps(load: LoadConfig):
    with pytest.raises(UserError, match=r"nowhere\.csv.*datasets/kinetics/README\.md"):
        pipeline.run(load("data.unlabeled=nowhere.csv", "data.dataset=kinetics"))


def test_missing_files_are_reported_before_anything_runs(load: LoadConfig, tmp_path: Path):
    (tmp_path / "u.csv").write_text("path\nnot/there.mp4\nnor/there.mp4\n")
    with pytest.raises(UserError, match=r"2 files .*u\.csv.*not/there\.mp4"):
        pipeline.run(load(f"data.unlabeled={tmp_path / 'u.csv'}"))


@pytest.mark.slow
def test_undecodable_files_are_counted_and_reported(load: LoadConfig, shapes: Path, tmp_path: Path):
    for name in ("labeled", "unlabeled", "test"):
        lines = (shapes / f"{name}.csv").read_text().splitlines()
        rows = [lines[0], *(f"{shapes}/{line}" for line in lines[1:])]
        (tmp_path / f"{name}.mp4").write_bytes(b"nothing")
        rows.append(f"{tmp_path}/{name}.mp4" + ("," if name == "unlabeled" else ",drifting east"))
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    config = load("seeds=[0]", *(f"data.{name}={tmp_path / name}.csv" for name in ("labeled", "unlabeled", "test")))
    rows = pipeline.run(config)
    assert {(row["read"], row["total"]) for row in rows} == {(16, 17)}
    metrics = {
        file.parent.relative_to(Path(config.output) / "seed0").as_posix(): json.loads(file.read_text())["metrics"]
        for file in Path(config.output).rglob("stage.json")
    }
    assert metrics["teacher/train"]["unreadable"] == [24]
    assert (metrics["teacher/score"]["scored"], metrics["teacher/score"]["failed"]) == (52, 1)


@pytest.mark.slow
def test_prepare_runs_the_script_of_a_dataset_if_manifests_are_missing(
    load: LoadConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "made"
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "prepare.py").write_text(
        "import sys, pathlib\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--output') + 1])\n"
        "folder.mkdir()\n"
        "(folder / 'ran').touch()\n"
    )
    monkeypatch.setattr(resolve, "dataset_folder", lambda name: tmp_path / name)
    sources = [f"data.{name}={folder / name}.csv" for name in ("labeled", "unlabeled", "test")]
    config = load("data.dataset=toy", "data.prepare=true", *sources)
    with pytest.raises(UserError, match=r"labeled\.csv"):  # this script writes none
        pipeline.run(config)
    assert (folder / "ran").exists()


@pytest.mark.slow
def test_three_real_classes(real_data: Path, tmp_path: Path):
    """UCF101 by its own split files, with part of the training groups as the unlabeled set, by the user's commands."""
    ucf = real_data / "ucf3"
    prepare = [sys.executable, str(REPOSITORY / "datasets/ucf101/prepare.py"), "--root", str(ucf)]
    prepare += ["--splits", str(ucf / "ucfTrainTestlist"), "--labeled-groups", "3", "--output", str(tmp_path / "data")]
    said = subprocess.run(prepare, check=True, capture_output=True, text=True).stdout
    assert "0 listed files do not exist" in said
    groups = {
        name: {
            line.split(",")[0].rsplit("_", 1)[0] for line in (tmp_path / "data" / f"{name}.csv").read_text().split()[1:]
        }
        for name in ("labeled", "unlabeled", "test")
    }
    assert not (groups["labeled"] & groups["unlabeled"]) | (groups["unlabeled"] & groups["test"])
    small = ["input.resize=[20, 28]", "input.crop=16", "teacher.args.width=0.0625", "students.0.args.width=0.0625"]
    short = [f"train.{name}.examples=16" for name in ("supervised", "pretrain", "finetune")]
    short += [f"train.{name}.warmup_examples=0" for name in ("supervised", "pretrain")]
    sources = [f"data.{name}={tmp_path / 'data' / name}.csv" for name in ("labeled", "unlabeled", "test")]
    overrides = [*small, *short, *sources, f"output={tmp_path / 'run'}", "score.views=2", "evaluate.views=2"]
    rows = pipeline.run(load_config("ucf101_student.yaml", overrides))
    assert [row["approach"] for row in rows] == ["teacher", "supervised", "semi_supervised"]
    assert all(row["read"] == row["total"] > 30 for row in rows)
