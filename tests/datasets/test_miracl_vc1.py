"""datasets/miracl_vc1/prepare.py: the public layout and a CSV of clips, split by speaker."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.helpers.errors import refused
from vidsemi.data.manifest import load_manifest

Prepare = Callable[..., dict[str, dict]]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Run prepare.py in `tmp_path`; the columns of each manifest."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("prepare_miracl", REPOSITORY / "datasets/miracl_vc1/prepare.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prepare_miracl", module)
    spec.loader.exec_module(module)

    def run(*words: object) -> dict[str, dict]:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, words), "--output", "out"])
        module.main()
        names = ("labeled", "unlabeled", "unlabeled_labels", "test")
        return {name: load_manifest(Path("out", f"{name}.csv")).table.to_pydict() for name in names}

    return run


def frame_folders(root: Path, speakers: tuple[str, ...]) -> None:
    for speaker in speakers:
        for kind, number in (("words", "01"), ("words", "10"), ("phrases", "03")):
            for repetition in ("01", "02", "10"):
                folder = root / speaker / kind / number / repetition
                folder.mkdir(parents=True)
                for frame in ("001", "002"):
                    Image.new("RGB", (8, 8)).save(folder / f"color_{frame}.jpg")
                    Image.new("L", (8, 8)).save(folder / f"depth_{frame}.png")


def test_the_public_layout(prepare: Prepare, tmp_path: Path):
    frame_folders(tmp_path / "set", ("F01", "F02", "M01"))
    made = prepare("--root", "set", "--test-speakers", "M01")
    assert sorted(zip(made["test"]["label"], made["test"]["group"], strict=True)) == sorted(
        [("begin", "M01"), ("web", "M01"), ("I am sorry", "M01")] * 3
    )
    assert {path.split("/")[-4] for path in made["labeled"]["path"]} == {"F01", "F02"}
    assert all(path.endswith("/01") for path in made["labeled"]["path"])  # the first repetition
    assert len(made["labeled"]["path"]) == 6
    assert made["unlabeled"]["path"] == made["unlabeled_labels"]["path"]
    assert len(made["unlabeled"]["path"]) == 12
    assert "label" not in made["unlabeled"]
    assert set(made["test"]["frames_per_second"]) == {15.0}
    two = prepare("--root", "set", "--test-speakers", "M01", "--labeled", 2, "--labeled-speakers", "F02")
    assert sorted(path[-2:] for path in two["labeled"]["path"]) == ["01"] * 3 + ["02"] * 3
    assert set(two["labeled"]["group"]) == {"F02"}
    assert len(two["unlabeled"]["path"]) == 12
    few = prepare("--root", "set", "--test-speakers", "F02", "--speakers", "F01,F02")
    assert set(few["labeled"]["group"]) == {"F01"}


def test_bad_input(prepare: Prepare, tmp_path: Path):
    frame_folders(tmp_path / "set", ("F01", "M01"))
    with refused("miracl.unknown_speaker", "F10", "F01, M01"):
        prepare("--root", "set")
    with refused("miracl.empty_split", "unlabeled"):
        prepare("--root", "set", "--test-speakers", "M01", "--labeled", 3)
    with refused("options.invalid", "--labeled"):
        prepare("--root", "set", "--labeled", 0)
    with refused("miracl.empty"):
        prepare("--root", "nowhere")
    (tmp_path / "set/F01/words/11/01").mkdir(parents=True)
    with refused("miracl.unknown_number", "words/11"):
        prepare("--root", "set", "--test-speakers", "M01")
    Path("clips.csv").write_text("path,label,speaker\na.mp4,begin,F01\n")
    with refused("miracl.missing_column", "repetition"):
        prepare("--clips", "clips.csv")
    Path("clips.csv").write_text("path,label,speaker,repetition\na.mp4,begin,F01,first\n")
    with refused("miracl.bad_repetition", "line 2", "first"):
        prepare("--clips", "clips.csv")


def test_real_clips(prepare: Prepare, real_data: Path):
    made = prepare("--clips", real_data / "lips/clips.csv")
    sizes = {name: len(columns["path"]) for name, columns in made.items()}
    assert sizes == {"labeled": 220, "unlabeled": 1980, "unlabeled_labels": 1980, "test": 800}
    assert len(set(made["labeled"]["label"])) == 20
    assert not set(made["test"]["group"]) & set(made["labeled"]["group"])
    assert Path(made["test"]["path"][0]).is_file()
