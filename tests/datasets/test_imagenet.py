"""datasets/imagenet/prepare.py: a folder a class, or the flat validation folder with either kind of labels."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from tests.conftest import REPOSITORY
from tests.helpers.errors import refused
from vidsemi.data.manifest import load_manifest

WNIDS = ["n01440764", "n01751748", "n03995372"]
VAL = [2, 0, 1, 2]  # place in WNIDS of each validation image
Prepare = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Run prepare.py on a small copy in `tmp_path`; (file name, label) of the test manifest."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("prepare_imagenet", REPOSITORY / "datasets/imagenet/prepare.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for wnid in WNIDS:
        (tmp_path / "copy" / "train" / wnid).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "copy" / "train" / wnid / f"{wnid}_1.JPEG", "JPEG")
    (tmp_path / "copy" / "val").mkdir()
    for number in range(1, 5):
        Image.new("RGB", (8, 8)).save(tmp_path / "copy" / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", "JPEG")

    def run(*words: object) -> list[tuple[str, str]]:
        monkeypatch.setattr(sys, "argv", ["prepare.py", "--root", "copy", *map(str, words), "--output", "out"])
        module.main()
        train, test = (load_manifest(Path("out", f"{name}.parquet")).table.to_pydict() for name in ("labeled", "test"))
        assert train["label"] == WNIDS
        return [(Path(path).name, label) for path, label in zip(test["path"], test["label"], strict=True)]

    return run


EXPECTED = [(f"ILSVRC2012_val_{number:08d}.JPEG", WNIDS[place]) for number, place in enumerate(VAL, start=1)]


def test_folders(prepare: Prepare):
    with refused("folder.no_class", "--val-labels"):
        prepare()
    for name, wnid in EXPECTED:
        Path("copy/val", wnid).mkdir(exist_ok=True)
        Path("copy/val", name).rename(Path("copy/val", wnid, name))
    assert sorted(prepare()) == EXPECTED


def test_labels_of_the_localisation_challenge(prepare: Prepare):
    lines = [f"{Path(name).stem},{wnid} 85 1 499 272 {wnid} 1 2 3 4 " for name, wnid in reversed(EXPECTED)]
    Path("LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines, "gone,n01440764 1 1 1 1"]))
    assert sorted(prepare("--val-labels", "LOC_val_solution.csv")) == EXPECTED
    assert Path("out/test.missing.txt").read_text() == "gone\n"
    Path("few.csv").write_text("\n".join(["ImageId,PredictionString", *lines[1:]]))
    with refused("imagenet.unlabeled_images", "few.csv", "1 images", "ILSVRC2012_val_00000004"):
        prepare("--val-labels", "few.csv")
    Path("long.csv").write_text("ImageId,PredictionString\n" + "x" * 200_000)
    with refused("imagenet.bad_solution", "long.csv", "ImageId"):
        prepare("--val-labels", "long.csv")
    Path("other.csv").write_text("a,b\n1,2\n")
    with refused("imagenet.bad_solution", "other.csv", "PredictionString"):
        prepare("--val-labels", "other.csv")


def test_the_devkit(prepare: Prepare):
    """Its numbers are an order of their own, and classes above those of images have numbers, too."""
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [
        (1, WNIDS[1], "b", "", 0),
        (2, WNIDS[2], "c", "", 0),
        (3, WNIDS[0], "a", "", 0),
        (4, "n00001740", "", "", 3),
    ]
    Path("kit/data").mkdir(parents=True)
    savemat("kit/data/meta.mat", {"synsets": np.array(rows, dtype=kinds)[:, None]})
    truth = Path("kit/data/ILSVRC2012_validation_ground_truth.txt")
    truth.write_text("2\n3\n1\n2\n")
    assert prepare("--val-labels", "kit") == EXPECTED
    truth.write_text("2\n3\n1\n")
    with refused("imagenet.bad_devkit", "3 lines for 4 images"):
        prepare("--val-labels", "kit")
    truth.write_text("2\n3\n1\n9\n")
    with refused("imagenet.bad_devkit", "meta.mat"):
        prepare("--val-labels", "kit")
    meta = Path("kit/data/meta.mat")
    for damage in (b"", meta.read_bytes()[:200], b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(99)):
        whole = meta.read_bytes()
        meta.write_bytes(damage)
        with refused("imagenet.bad_devkit", "meta.mat"):
            prepare("--val-labels", "kit")
        meta.write_bytes(whole)
    truth.unlink()
    with refused("file.missing", truth.name):
        prepare("--val-labels", "kit")
