"""Students of a teacher alone: no label, and perhaps no test set; and of several teachers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from tests.helpers.errors import refused
from tests.pipeline.test_teacher_classes import with_outputs, write_map
from vidsemi.api.plan import plan
from vidsemi.api.run import run
from vidsemi.cli import main as cli
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.models import weights_file
from vidsemi.pipeline import run as pipeline
from vidsemi.selection.result import Selection

LoadConfig = Callable[..., Config]


@pytest.fixture
def no_labels(tmp_path: Path, shapes: Path, weights: Path) -> Path:
    """A config without a labeled set, a test set and recipes for labels."""
    network = {"model": "r2plus1d_10", "frames": 4, "args": {"width": 0.0625}}
    values = {
        "output": str(tmp_path / "run"),
        "data": {"unlabeled": f"{shapes}/unlabeled.csv"},
        "input": {"resize": [20, 20], "crop": 16, "hflip_prob": 0},
        "teacher": {**network, "init_from": str(weights), "frozen": True},
        "students": [{"name": "small", **network}],
        "approaches": ["distilled"],
        "train": {"pretrain": {"examples": 24, "batch_size": 8, "learning_rate": 0.01}},
        "score": {"views": 2, "shard_size": 20, "precision": "float32"},
        "select": {"per_class": 3, "per_example": 2},
        "evaluate": {"views": 2},
        "runtime": {"device": "cpu", "workers": 0},
    }
    (tmp_path / "no_labels.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "no_labels.yaml"


def scores_in(folder: Path) -> np.ndarray:
    """(examples, classes) of a directory with the scores of all classes."""
    files = sorted(folder.glob("part-*.parquet"))
    rows = np.concatenate([pq.read_table(file).to_pandas().to_numpy() for file in files])
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))][:, 2].reshape(-1, 8).astype(np.float32)


@pytest.mark.slow
def test_a_run_without_a_label(no_labels: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """It trains the student for the classes that the user names, and says that no accuracy was measured."""
    classes = weights_file.load_spec(weights).classes
    pairs = {"drifting east": "right", "drifting southeast": "right", "drifting west": "left"}
    named = f"teacher.class_map={write_map(tmp_path / 'names.csv', pairs)}"
    assert cli.main(["run", "--cfg", str(no_labels), "--check", named]) == 0
    assert cli.main(["plan", "--cfg", str(no_labels), "--device-type", "cpu", named]) == 0
    assert "seed*/small/distilled/pretrain" in capfd.readouterr().out
    result = run(no_labels, [named], progress=None)
    output = result.output
    assert result.results == []
    student = weights_file.load_spec(output / "seed0/small/distilled/pretrain/weights.pt")
    assert student.classes == ["left", "right"]
    selection = Selection.read(output / "seed0/teacher/select/selection.parquet")
    assert selection.classes == ["left", "right"] and len(selection) == 6
    folders = {file.parent.relative_to(output).as_posix() for file in output.rglob("stage.json")}
    stages = ("seed0/teacher/score", "seed0/teacher/select", "seed0/small/distilled/pretrain")
    assert folders == {"teacher/weights", *stages}
    assert result.report is not None and "No accuracy has been measured" in result.report.text
    page = (output / "report.html").read_text()
    assert "No accuracy has been measured" in page and "seed0/small/distilled/pretrain/weights.pt" in page
    assert json.loads((output / "results.json").read_text()) == []
    assert cli.main(["report", str(output)]) == 0
    assert cli.main(["run", "--cfg", str(no_labels), named]) == 0  # nothing is left to do
    assert "No accuracy has been measured" in capfd.readouterr().out
    assert len(classes) == 8


@pytest.mark.slow
def test_a_test_set_measures_the_accuracy(no_labels: Path, shapes: Path, tmp_path: Path):
    """Over the classes of the teacher; in the same run a student may learn from the labels, too."""
    result = run(no_labels, [f"data.test={shapes}/test.csv"])
    assert [(row["student"], row["approach"]) for row in result.results] == [
        ("teacher", "teacher"),
        ("small", "distilled"),
    ]
    assert [row["num_classes"] for row in result.results] == [8, 8]
    assert result.report is not None and "distilled" in result.report.text
    labels = [f"data={{labeled: {shapes}/labeled.csv, test: {shapes}/test.csv, unlabeled: {shapes}/unlabeled.csv}}"]
    recipe = "{examples: 16, batch_size: 8, learning_rate: 0.001}"
    labels += [f"train.finetune={recipe}", f"train.supervised={recipe}", "approaches=[distilled, semi_supervised]"]
    config = load_config(str(no_labels), [*labels, f"output={tmp_path}/labels"])
    rows = pipeline.run(config, reuse=[result.output])
    assert [row["approach"] for row in rows] == ["teacher", "distilled", "semi_supervised"]
    assert [row["top1"] for row in rows[:2]] == [row["top1"] for row in result.results]  # the same networks


@pytest.mark.slow
def test_the_mean_of_two_teachers_selects(no_labels: Path, weights: Path, tmp_path: Path):
    """Each is scored once, and a teacher that another run has scored already is not scored again."""
    spec = weights_file.load_spec(weights)
    other = with_outputs(weights, [1, 0, 2, 3, 5, 4, 7, 6], spec.classes, tmp_path / "other.pt")
    values = yaml.safe_load(no_labels.read_text())
    teacher = values["teacher"]
    several = f"teacher={yaml.safe_dump([teacher, {**teacher, 'init_from': str(other)}], default_flow_style=True)}"
    config = load_config(str(no_labels), [several, "score.per_example=8"])
    assert pipeline.run(config, until="select") == []
    output = Path(config.output)
    scores = []
    for name in ("teacher_1", "teacher_2"):
        scores.append(scores_in(output / f"seed0/{name}/score"))
    mean = scores_in(output / "seed0/teacher/score")
    np.testing.assert_array_equal(mean, np.mean(scores, axis=0, dtype=np.float64).astype(np.float32))
    selection = Selection.read(output / "seed0/teacher/select/selection.parquet")
    first_two = mean >= np.sort(mean, axis=1)[:, [-2]]
    for label in range(8):
        mine = np.where(first_two[:, label], mean[:, label], -1)
        taken = selection.example_id[selection.label == label]
        expected = [one for one in np.argsort(-mine, kind="stable")[:3] if mine[one] >= 0]
        assert taken.tolist() == expected
    again = load_config(str(no_labels), [several, "score.per_example=8", f"output={tmp_path}/more"])
    pipeline.run(again, until="select", reuse=[output])
    record = json.loads((tmp_path / "more/seed0/teacher_2/score/stage.json").read_text())
    assert record["reused_from"] == str(output / "seed0/teacher_2/score")
    cost = plan(no_labels, [several], device_type="cpu")
    names = [stage["name"] for stage in cost.stages]
    assert [name for name in names if "score" in name] == [
        f"seed0/{name}/score" for name in ("teacher_1", "teacher_2", "teacher")
    ]


def test_runs_without_labels_that_cannot_work(no_labels: Path, weights: Path, shapes: Path, tmp_path: Path):
    """All of it before a file is decoded: a check reads none."""
    nameless, one = tmp_path / "nameless.pt", write_map(tmp_path / "one.csv", {"drifting east": "east"})
    torch.save(torch.load(weights, weights_only=True)["state_dict"], nameless)
    for overrides, code, mentions in [
        (["data.unlabeled=null"], "config.invalid_value", ["distilled", "data.unlabeled"]),
        (["teacher=null"], "config.invalid_value", ["distilled", "teacher"]),
        (["teacher=[]"], "config.invalid_value", ["teacher"]),
        (["teacher.frozen=false"], "config.invalid_value", ["distilled", "teacher.frozen"]),
        (["train.pretrain=null"], "config.invalid_value", ["distilled", "train.pretrain"]),
        (["approaches=[distilled, supervised]"], "config.invalid_value", ["supervised", "data.labeled"]),
        (["data.validation={share: 0.2}"], "config.invalid_value", ["validation", "labeled"]),
        (["teacher.frozzen=true"], "config.unknown_key", ["teacher.frozzen", "'frozen'"]),
        (["teacher.views=3"], "config.unknown_key", ["teacher.views"]),
        ([f"teacher.init_from={nameless}"], "teacher.unnamed_classes", [nameless, "teacher.classes"]),
        ([f"teacher.class_map={one}"], "teacher.single_class", ["east"]),
        (
            [f"data.test={shapes}/test.csv", f"teacher.classes={tmp_path}/odd.txt"],
            "manifest.unknown_label",
            ["odd.txt"],
        ),
    ]:
        (tmp_path / "odd.txt").write_text("\n".join(f"class {letter}" for letter in "abcdefgh"))
        with refused(code, *mentions):
            pipeline.check(load_config(str(no_labels), overrides))
