"""The commands of two guides run as they stand, with a tiny teacher and few short clips."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.helpers.builders import paths_of
from tests.models.test_layouts import X3D, seeded, shapes_of
from tests.pipeline.test_hf_teacher import write_folder
from vidsemi.cli import main as cli
from vidsemi.models.weights_file import load_spec

QUICK = ["runtime.device=cpu", "runtime.workers=0"]
SHORT = {"examples": 16, "batch_size": 8, "learning_rate": 0.01}


def guide(name: str) -> tuple[str, list[list[str]]]:
    """The config and the commands of a guide, in order."""
    text = (REPOSITORY / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"^```yaml\n(output:.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).splitlines()
    return config, [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def here(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Class folders of two videos each, and videos without labels, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, folder in (("labeled", "train"), ("test", "test")):
        with open(shapes / f"{name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            target = tmp_path / "videos" / folder / row["label"]
            target.mkdir(parents=True, exist_ok=True)
            if len(list(target.iterdir())) < 2:
                shutil.copy(shapes / row["path"], target / Path(row["path"]).name)
    for path in paths_of(shapes / "unlabeled.csv")[:24]:
        for folder in ("videos/unlabeled", "unlabeled"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(shapes / path, tmp_path / folder / Path(path).name)
    return tmp_path


@pytest.mark.slow
def test_from_a_public_teacher_to_a_small_network(
    here: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    config, commands = guide("teacher-to-small-network")
    write_folder(here / "weights/videomae-base-finetuned-kinetics", range(8), load_spec(weights).classes)
    (here / "config.yaml").write_text(config)
    # The teacher's classes are those of the clips, and the student and its training are small.
    smaller = ["students=[{name: x3d_s, model: r2plus1d_10, frames: 4, args: {width: 0.0625}}]", "select.per_class=2"]
    smaller += [f"train.{name}={json.dumps(SHORT)}" for name in ("supervised", "pretrain", "finetune")]
    smaller += ["input={resize: [20, 20], crop: 16}", "evaluate.views=1", "approaches=[supervised, semi_supervised]"]
    assert [words[0] for words in commands] == ["manifest"] * 3 + ["run", "plan", "run", "report", "publish"]
    for words in commands:
        more = [*smaller, *QUICK] if words[0] in {"run", "plan"} else []
        more += ["--workers", "0", "--device", "cpu"] if words[0] == "publish" else []
        assert cli.main([*words, *more]) == 0, capsys.readouterr().err
        if words[0] == "plan":
            assert "1 × l4 and 16 cores" in capsys.readouterr().out
    rows = json.loads((here / "runs/afternoon/results.json").read_text())
    assert [(row["student"], row["approach"]) for row in rows] == [
        ("teacher", "teacher"),
        ("x3d_s", "supervised"),
        ("x3d_s", "semi_supervised"),
    ]
    assert (here / "runs/afternoon/report.html").is_file()
    assert "cc-by-nc-4.0" in (here / "my-network/README.md").read_text()


@pytest.mark.slow
def test_from_other_frameworks(here: Path, capsys: pytest.CaptureFixture[str]):
    config, commands = guide("from-other-frameworks")
    names = sorted(folder.name for folder in (here / "videos/train").iterdir())
    (here / "config.yaml").write_text(config)
    (here / "label_map.txt").write_text("\n".join(names[:5]))
    torch.save({"model_state": seeded(shapes_of("pytorchvideo/x3d_s", X3D))}, here / "x3d_s.pyth")
    for folder, file in (("train", "train_list.txt"), ("test", "val_list.txt")):
        videos = sorted((here / "videos" / folder).glob("*/*.mp4"))
        lines = [
            f"{video.relative_to(here / 'videos')} {names.index(video.parent.name)}"
            for video in videos
            if video.parent.name in names[:5]
        ]
        (here / file).write_text("\n".join(lines))
    assert [words[0] for words in commands] == ["convert"] + ["manifest"] * 3 + ["run"]
    for words in commands:
        smaller = [*QUICK, "select.per_class=2"] if words[0] == "run" else []
        assert cli.main([*words, *smaller]) == 0, capsys.readouterr().err
    assert "pytorchvideo/x3d_s" in capsys.readouterr().out
    spec = load_spec(here / "x3d_s.pt")
    assert (spec.classes, spec.input.frames, spec.input.stride) == (names[:5], 13, 6)
