"""`publish`: the folder loads to the same outputs, and its card says what the run's records say, nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import vidsemi
from tests.conftest import write_tiny_config
from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.io.files import write_json
from vidsemi.models import weights_file
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.pipeline import run as pipeline

EVIL = ["<script>alert(1)</script>", "![x](http://example.org/x.png)", "a\x1b[2J", "- item\n# heading", "`|$ü"]


def front_of(folder: Path) -> dict:
    """The metadata of a card, read as the Hub does."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    start, front, _ = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front)


def body_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]


@pytest.fixture(scope="module")
def finished(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one student."""
    folder = tmp_path_factory.mktemp("published")
    config = load_config(str(write_tiny_config(folder / "tiny.yaml", shapes)), ["approaches=[semi_supervised]"])
    pipeline.run(config)
    return Path(config.output)


STUDENT = "seed0/small/semi_supervised/finetune/weights.pt"


def test_it_loads_to_the_same_outputs(weights: Path, tmp_path: Path):
    published = vidsemi.publish(weights, tmp_path / "model")
    model, again = vidsemi.load_model(weights), vidsemi.load_model(tmp_path / "model")
    assert (again.name, again.classes, again.input, again.spec) == (model.name, model.classes, model.input, model.spec)
    clips = torch.randn(3, 3, 4, 16, 16)
    assert torch.equal(model(clips), again(clips)) and not again.training
    names = {"model.safetensors", "config.json", "README.md"}
    assert {file.name for file in published.folder.iterdir()} == names
    assert published.bytes == sum(file.stat().st_size for file in published.folder.iterdir())
    assert published.parameters == sum(own.numel() for own in model.parameters())
    assert again._trained().fingerprint() == weights_file.fingerprint(tmp_path / "model")
    frames = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), dtype=np.uint8)
    first, second = (vidsemi.predict(own, frames) for own in (model, tmp_path / "model"))
    assert np.array_equal(first.scores, second.scores)


def test_a_network_in_memory_and_a_folder_are_published_again(weights: Path, tmp_path: Path):
    model = vidsemi.load_model(weights)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    vidsemi.publish(model, tmp_path / "one")
    vidsemi.publish(tmp_path / "one", tmp_path / "two")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert torch.equal(next(vidsemi.load_model(tmp_path / "two").parameters()), next(model.parameters()))


def test_the_card_of_unknown_weights_invents_nothing(weights: Path, tmp_path: Path):
    vidsemi.publish(weights, tmp_path / "small net")
    front, body = front_of(tmp_path / "small net"), body_of(tmp_path / "small net")
    tags = ["vidsemi", "action-recognition", "r2plus1d_10"]
    assert front == {"library_name": "vidsemi", "pipeline_tag": "video-classification", "tags": tags}
    assert "not stated" in body and "drifting northwest" in body
    for word in ("## Accuracy", "## Training", "teacher", "(K)", "duplicates"):
        assert word not in body


def test_the_card_of_a_run_says_what_its_records_say(finished: Path, shapes: Path, tmp_path: Path):
    options = {"license": "apache-2.0", "teacher_license": "CC-BY-NC 4.0", "datasets": ["me/shapes"]}
    published = vidsemi.publish(finished / STUDENT, tmp_path / "m", **options, test=shapes / "test.csv", workers=0)
    rows = json.loads((finished / "results.json").read_text())
    row = next(own for own in rows if own["weights"] == STUDENT)
    teacher = next(own for own in rows if own["student"] == "teacher")
    front, body = front_of(tmp_path / "m"), body_of(tmp_path / "m")
    assert (front["license"], front["datasets"]) == ("apache-2.0", ["me/shapes"])
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"] == {"name": "shapes/test.csv", "type": "me/shapes"}
    expected = {"2 clips": row["top1"]}
    for views in (10, 1):  # as `evaluate` measures it
        found = vidsemi.evaluate(finished / STUDENT, shapes / "test.csv", views=views, workers=0)
        expected[f"{views} clip{'s' * (views > 1)}"] = found.top1
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert {name: values[f"top-1 accuracy in percent, {name}"] for name in expected} == expected
    assert [test["views"] for test in published.tests] == [2, 10, 1]
    selection = json.loads((finished / "seed0/teacher/select/stage.json").read_text())["metrics"]
    cells = {
        tuple(cell.strip() for cell in line.strip("|").split("|")) for line in body.splitlines() if line[:1] == "|"
    }
    for cell in (
        ("teacher", "r2plus1d_10 width=0.0625, trained in this run"),
        ("license of the teacher", "CC-BY-NC 4.0"),
        ("top-1 accuracy of the teacher", f"{teacher['top1']:.1f}% (2 clips)"),
        ("examples per class (K)", "3"),
        ("classes per example (P)", "2"),
        ("pseudo-labeled examples", f"{selection['chosen']} of {selection['examples']}"),
        ("approach", "semi_supervised"),
    ):
        assert cell in cells
    assert "Checked for duplicates of the test set: labeled (0 removed: 0 exact" in body and "The command" not in body


def test_known_tests_are_not_repeated_and_weights_put_in_place_of_others_are_no_ones(
    finished: Path, shapes: Path, tmp_path: Path
):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    rows = json.loads((run / "results.json").read_text())
    write_json(run / "results.json", [{**own, "views": 10, "top1": 77.0} for own in rows])
    record = json.loads((run / STUDENT).with_name("stage.json").read_text())
    write_json((run / STUDENT).with_name("stage.json"), {**record, "command": "vidsemi run --cfg `x`"})
    published = vidsemi.publish(run / STUDENT, tmp_path / "m", test=shapes / "test.csv", workers=0)
    assert [(test["views"], test["top1"] == 77) for test in published.tests] == [(10, True), (1, False)]
    assert "\nvidsemi run --cfg `x`\n" in body_of(tmp_path / "m")
    shutil.copy(run / "seed0/small/semi_supervised/pretrain/weights.pt", run / STUDENT)  # another recipe's
    assert vidsemi.publish(run / STUDENT, tmp_path / "other").tests == []
    assert "Training" not in body_of(tmp_path / "other")


def test_names_of_strangers_are_shown_as_they_are(tmp_path: Path):
    takes = vidsemi.InputSpec(frames=1, resize=(20, 20), crop=16)
    spec = NetworkSpec("resnet18", {}, EVIL, takes)
    weights_file.save_weights(tmp_path / "w.pt", spec.build(), spec, {})
    name = "--- <b>&\u202e"
    vidsemi.publish(tmp_path / "w.pt", tmp_path / name, license="Ours: <i>ask</i>, please")
    front, body = front_of(tmp_path / name), body_of(tmp_path / name)
    assert (front["license"], front["license_name"]) == ("other", "Ours: <i>ask</i>, please")
    assert front["pipeline_tag"] == "image-classification"
    assert vidsemi.load_model(tmp_path / name).classes == EVIL
    for markup in ("<script", "<b>", "<i>", "![", "\x1b", "\u202e", "\n# heading"):
        assert markup not in body.split("```python")[0] + body.rpartition("```")[2]


def test_a_folder_with_files_stays_as_it_is(weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert cli.main(["publish", str(weights), str(folder)]) == 2
    assert_refused(capfd.readouterr().err, "publish.exists", folder)
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    (tmp_path / "file").touch()
    with refused("publish.not_a_folder", tmp_path / "file"):
        vidsemi.publish(weights, tmp_path / "file")
    assert cli.main(["publish", str(weights), str(folder), "--overwrite", "--license", "mit", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["folder"] == str(folder) and document["tests"] == []
    assert (folder / "notes.txt").read_text() == "mine" and front_of(folder)["license"] == "mit"
    assert len([*folder.iterdir()]) == 4


@pytest.mark.parametrize("change", [{"license": "a\nb"}, {"license": " "}, {"name": "x" * 999}, {"datasets": "a"}])
def test_texts_that_no_card_can_hold(weights: Path, tmp_path: Path, change: dict):
    with refused("options.invalid", next(iter(change))):
        vidsemi.publish(weights, tmp_path / "m", **change)
    assert not (tmp_path / "m").exists()


def test_weights_that_cannot_be_published_leave_no_folder(
    tmp_path: Path, weights: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with refused("weights.not_vidsemi", "other.pth"):  # nobody knows its classes
        vidsemi.publish(tmp_path / "other.pth", tmp_path / "m")
    with refused("options.invalid", "root"):
        vidsemi.publish(weights, tmp_path / "m", root=shapes)
    monkeypatch.setattr(
        weights_file, "load_weights", lambda folder: (spoiled(weights), vidsemi.load_model(weights).spec)
    )
    with refused("publish.differs", "r2plus1d_10"):
        vidsemi.publish(weights, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def spoiled(weights: Path) -> torch.nn.Module:
    network = vidsemi.load_model(weights).network
    with torch.no_grad():
        network.fc.bias.add_(1)
    return network


def test_commands_take_the_folder(weights: Path, shapes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    vidsemi.publish(weights, tmp_path / "m")
    answers = []
    for source in (weights, tmp_path / "m"):
        command = ["evaluate", "--weights", str(source), "--manifest", str(shapes / "test.csv"), "--workers", "0"]
        assert cli.main([*command, "--views", "2", "--json"]) == 0
        answers.append(json.loads(capfd.readouterr().out))
    assert answers[0] == answers[1]
    video = str(shapes / "test" / "00000.mp4")
    assert cli.main(["predict", "--weights", str(tmp_path / "m"), video, "--workers", "0"]) == 0
    score = ["score", "--weights", str(tmp_path / "m"), "--manifest", str(shapes / "test.csv"), "--workers", "0"]
    assert cli.main([*score, "--output", str(tmp_path / "scores"), "--per-example", "2"]) == 0
    model = vidsemi.create_model("r2plus1d_10", vidsemi.load_model(weights).classes, init_from=tmp_path / "m", **NARROW)
    assert torch.equal(model.network.fc.weight, vidsemi.load_model(weights).network.fc.weight)
    capfd.readouterr()


NARROW = {"frames": 4, "size": 16, "resize": (20, 20), "args": {"width": 0.0625}}
