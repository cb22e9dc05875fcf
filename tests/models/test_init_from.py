"""Runs that start from weights of other programs, and files that are converted from them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision import models

from tests.helpers.builders import spec_for
from vidsemi.cli import main as cli
from vidsemi.models import weights_file
from vidsemi.models.build import initialize_from
from vidsemi.models.registry import create_model
from vidsemi.models.weights import read_weights


def names(file: Path) -> Path:
    file.write_text("".join(f"class {number}\n" for number in range(5)), encoding="utf-8")
    return file


def test_published_weights_are_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(0)
    theirs = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    command = ["convert", "--model", "r2plus1d_10", "--frames", "4", "--args", "width=0.125", "--size", "96"]
    command += ["--weights", str(tmp_path / "theirs.pth"), "--output", str(tmp_path / "ours.pt")]
    assert cli.main([*command, "--classes", str(names(tmp_path / "names.txt")), "--stride", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loaded"] == len(theirs.state_dict())
    network, spec = weights_file.load_weights(tmp_path / "ours.pt")
    assert spec.classes == [f"class {number}" for number in range(5)]
    assert (spec.input.frames, spec.input.stride, spec.input.resize, spec.input.crop) == (4, 2, (128, 171), 96)
    assert torch.equal(network.fc.weight, theirs.fc.weight)
    assert cli.main([*command, "--classes", str(tmp_path / "theirs.pth")]) == 2
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert cli.main([*command, "--classes", str(tmp_path / "names.txt")]) == 2
    error = capsys.readouterr().err
    assert "[weights.head_mismatch]" in error
    assert "fc.weight for 2 classes" in error


def test_resnets_are_converted_with_the_input_of_imagenet(tmp_path: Path):
    torch.save(models.resnet18(num_classes=5).state_dict(), tmp_path / "theirs.pth")
    command = ["convert", "--model", "resnet18", "--weights", str(tmp_path / "theirs.pth")]
    assert cli.main([*command, "--classes", str(names(tmp_path / "n.txt")), "--output", str(tmp_path / "o.pt")]) == 0
    takes = weights_file.load_weights(tmp_path / "o.pt")[1].input
    assert (takes.frames, takes.resize, takes.crop, takes.mean) == (1, 256, 224, (0.485, 0.456, 0.406))


@pytest.mark.slow
def test_a_run_starts_from_weights(tiny_config: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture):
    torch.manual_seed(0)
    theirs = create_model("r2plus1d_10", num_classes=3, frames=4, args={"width": 0.0625})
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    config = tiny_config()
    overrides = [f"students.0.init_from={tmp_path / 'theirs.pth'}", "train.supervised.learning_rate=1.0e-12"]
    with caplog.at_level("INFO"):
        assert cli.main(["run", "--cfg", str(config), *overrides, "approaches=[supervised]"]) == 0
    assert f"seed0/small/supervised/train: initialized from {tmp_path / 'theirs.pth'}: " in caplog.text
    assert "fresh: fc.weight, fc.bias" in caplog.text
    content = torch.load(tmp_path / "run/seed0/small/supervised/train/weights.pt", weights_only=True)
    torch.testing.assert_close(content["state_dict"]["stem.0.weight"], theirs.state_dict()["stem.0.weight"])
    digest = hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest()
    assert content["provenance"]["init_from"] == digest
    stage = json.loads((tmp_path / "run/seed0/small/supervised/train/stage.json").read_text())
    assert stage["metrics"]["init_from"]["replaced"] == ["fc.weight", "fc.bias"]


@pytest.mark.slow
def test_other_weights_in_the_same_place_are_another_run(
    tiny_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for number in (0, 1):
        torch.manual_seed(number)
        network = create_model("r2plus1d_10", num_classes=3, frames=4, args={"width": 0.0625})
        torch.save(network.state_dict(), tmp_path / "theirs.pth")
        command = ["run", "--cfg", str(tiny_config()), f"students.0.init_from={tmp_path / 'theirs.pth'}"]
        status = cli.main([*command, "approaches=[supervised]", "--until", "supervised"])
        assert status == 2 * number
    assert "init_from" in capsys.readouterr().err


@pytest.mark.slow
def test_a_teacher_that_needs_no_training(tiny_config: Callable[..., Path], tmp_path: Path, weights: Path):
    """The fixture's network knows the eight classes of moving_shapes; three seeds share it, its scores and D̂."""
    config = tiny_config()
    overrides = [f"teacher.init_from={weights}", "teacher.frozen=true", "seeds=[0,1]"]
    assert cli.main(["run", "--cfg", str(config), *overrides, "--until", "select"]) == 0
    run = tmp_path / "run"
    assert (run / "teacher/weights/weights.pt").is_file()
    assert [folder.parent.parent.name for folder in run.glob("*/teacher/score")] == ["seed0"]
    network, _ = weights_file.load_weights(run / "teacher/weights/weights.pt")
    assert torch.equal(network.fc.weight, weights_file.load_weights(weights)[0].fc.weight)


def test_the_head_of_the_same_classes_in_another_order_is_kept(tmp_path: Path):
    torch.manual_seed(0)
    spec = spec_for("r2plus1d_10", 4, 4, width=0.0625)
    theirs = spec.build().eval()
    order = [2, 0, 3, 1]  # output i of the file is class order[i]
    stored = replace(spec, classes=[spec.classes[place] for place in order])
    weights_file.save_weights(tmp_path / "w.pt", theirs, stored, {})
    network = spec.build().eval()
    assert not initialize_from(network, spec, read_weights(str(tmp_path / "w.pt"))).replaced
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(clips)[:, order], theirs(clips))
    other = replace(spec, classes=[*spec.classes[:3], "another"])
    assert initialize_from(other.build(), other, read_weights(str(tmp_path / "w.pt"))).replaced


TEACHER = "teacher.init_from={weights}"
WEAKLY = ["teacher.weakly_pretrained=true", "approaches=[semi_weakly_supervised]"]


@pytest.mark.parametrize(
    ("overrides", "code", "mentions"),
    [
        (["teacher.frozen=true"], "config.invalid_value", "init_from"),
        (["teacher.init_from=nowhere.pth"], "weights.missing", "nowhere.pth"),
        ([TEACHER, "teacher.args.width=0.125"], "weights.network_mismatch", "r2plus1d_10 width=0.125"),
        (["students.0.weakly_pretrained=true", "students.0.init_from={weights}"], "config.invalid_value", "small"),
        ([TEACHER, "teacher.weakly_pretrained=true"], "config.invalid_value", "weakly_pretrained"),
        ([TEACHER, "teacher.frozen=true", WEAKLY[1]], "config.invalid_value", "semi_supervised"),
        (
            [TEACHER, "teacher.frozen=true", WEAKLY[0], "approaches=[semi_supervised,semi_weakly_supervised]"],
            "config.invalid_value",
            "semi_weakly_supervised",
        ),
    ],
)
def test_weights_are_checked_before_anything_runs(
    overrides: list[str],
    code: str,
    mentions: str,
    tiny_config: Callable[..., Path],
    weights: Path,
    capsys: pytest.CaptureFixture[str],
):
    given = [override.format(weights=weights) for override in overrides]
    assert cli.main(["run", "--cfg", str(tiny_config()), "--check", *given]) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error
    assert mentions in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_weights_that_go_away_cost_no_training(
    tiny_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from vidsemi.training.trainer import Trainer

    torch.save(
        create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.0625}).state_dict(), tmp_path / "a.pth"
    )
    run = Trainer.run

    def removes(trainer: Trainer) -> dict:
        (tmp_path / "a.pth").unlink()
        return run(trainer)

    monkeypatch.setattr(Trainer, "run", removes)
    overrides = [f"students.0.init_from={tmp_path / 'a.pth'}", "approaches=[supervised]"]
    assert cli.main(["run", "--cfg", str(tiny_config()), *overrides]) == 0
    assert (tmp_path / "run/seed0/small/supervised/train/weights.pt").is_file()


@pytest.mark.slow
def test_weakly_pretrained_weights_are_used_by_the_weak_approaches_alone(
    tiny_config: Callable[..., Path], tmp_path: Path, weights: Path
):
    """And a teacher that is the same for all seeds is one row, without a spread."""
    config = str(tiny_config())
    teacher = [f"teacher.init_from={weights}", "teacher.frozen=true", "teacher.weakly_pretrained=true", "seeds=[0,1]"]
    student = [f"students.0.init_from={weights}", "students.0.weakly_pretrained=true"]
    approaches = "approaches=[supervised,weakly_supervised,semi_weakly_supervised]"
    assert cli.main(["run", "--cfg", config, *teacher, *student, approaches]) == 0
    rows = json.loads((tmp_path / "run/results.json").read_text())
    assert [(row["student"], row["approach"], row["seed"]) for row in rows] == [
        ("teacher", "weakly_supervised_teacher", 0),
        *(
            ("small", approach, seed)
            for seed in (0, 1)
            for approach in ("supervised", "weakly_supervised", "semi_weakly_supervised")
        ),
    ]
    init_from = {
        folder.parent.name + "/" + folder.name: json.loads((folder / "stage.json").read_text())["metrics"].get(
            "init_from"
        )
        for folder in (tmp_path / "run/seed0/small").glob("*/*")
    }
    assert init_from["weakly_supervised/finetune"] is not None
    assert init_from["supervised/train"] is None
    assert init_from["semi_weakly_supervised/pretrain"] is None
    assert not (tmp_path / "run/hashtags").exists()  # nothing was pre-trained on W


@pytest.mark.slow
def test_an_approach_that_is_called_otherwise_leaves_no_second_row(
    tiny_config: Callable[..., Path], tmp_path: Path, weights: Path
):
    config = str(tiny_config())
    command = ["run", "--cfg", config, f"teacher.init_from={weights}", "teacher.frozen=true"]
    assert cli.main([*command, "approaches=[semi_supervised]"]) == 0
    assert cli.main([*command, *WEAKLY, "seeds=[1,0]"]) == 0
    rows = json.loads((tmp_path / "run/results.json").read_text())
    assert [(row["student"], row["approach"], row["seed"]) for row in rows] == [
        ("teacher", "weakly_supervised_teacher", 1),
        ("small", "semi_weakly_supervised", 1),
        ("small", "semi_weakly_supervised", 0),
    ]


def test_labels_alone_need_no_unlabeled_set(tiny_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    command = ["run", "--cfg", str(tiny_config()), "--check", "data.unlabeled=nowhere.csv"]
    assert cli.main([*command, "approaches=[supervised]"]) == 0
    assert cli.main(command) == 2
    assert "[manifest.missing_file]" in capsys.readouterr().err
