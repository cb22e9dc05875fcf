"""The binary version of CIFAR and folders of images become the manifests of a run; pickles are refused."""

import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from tests.conftest import REPOSITORY
from tests.helpers.errors import refused
from vidsemi.data.formats import cifar
from vidsemi.data.formats.cifar import CIFAR100, read_cifar
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.read import read_frames

Prepare = Callable[..., dict[str, Manifest]]
CLASSES = ["airplane", "ship", "truck"]
FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def images(seed: int, count: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), [i % 3 for i in range(count)]


def write_cifar10(folder: Path) -> Path:
    """The binary version of CIFAR-10."""
    folder.mkdir(parents=True)
    for number, name in enumerate(FILES):
        planes, labels = images(number, 12)
        rows = np.concatenate([np.array(labels, np.uint8)[:, None], planes], 1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return folder


def write_cifar10_pickles(folder: Path) -> Path:
    """The same images in the Python version, which torchvision reads."""
    folder.mkdir(parents=True)
    for number, name in enumerate(FILES):
        planes, labels = images(number, 12)
        (folder / name).write_bytes(pickle.dumps({"data": planes, "labels": labels}, 2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}, 2))
    return folder


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Run a prepare.py in `tmp_path`: the manifests that are there afterwards."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: object) -> dict[str, Manifest]:
        spec = importlib.util.spec_from_file_location(f"prepare_{name}", REPOSITORY / "datasets" / name / "prepare.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, words), "--output", "out"])
        module.main()
        return {file.stem: load_manifest(file) for file in Path("out").glob("*.csv")}

    return run


def pixels(manifest: Manifest) -> np.ndarray:
    rows = map(manifest.row, range(len(manifest)))
    return np.concatenate([read_frames(row, lambda n: np.arange(n), size=(32, 32)) for row in rows])


def test_images_and_labels_are_those_of_torchvision(tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch):
    write_cifar10_pickles(tmp_path / "cifar-10-batches-py")
    write_cifar10(tmp_path / "cifar-10-batches-bin")
    monkeypatch.setattr(cifar, "IMAGES_PER_TAR", 25)
    made = prepare("cifar10", "--source", tmp_path, "--labeled", "all")
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    assert set(made) == {"labeled", "test"}
    for name, manifest in made.items():
        reference = torchvision.datasets.CIFAR10(str(tmp_path), train=name == "labeled")
        labels = manifest.table.column("label").to_pylist()
        assert labels == [CLASSES[target] for target in reference.targets]
        assert np.array_equal(pixels(manifest).transpose(0, 2, 3, 1), reference.data)
        assert not any(label in manifest.row(place).path for place, label in enumerate(labels))
    assert len({manifest.row(i).path for manifest in made.values() for i in range(len(manifest))}) == 3 + 1


def test_cifar100_has_the_fine_classes(tmp_path: Path):
    planes, labels = images(0, 9)
    for name in ("train", "test"):
        rows = np.concatenate([np.full((9, 1), 7, np.uint8), np.array(labels, np.uint8)[:, None], planes], 1)
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    (tmp_path / "fine_label_names.txt").write_text("\n".join(CLASSES))
    read = read_cifar(tmp_path, CIFAR100)["train"]
    assert read.labels == [CLASSES[label] for label in labels]
    assert np.array_equal(read.planes.reshape(9, -1), planes)


@pytest.mark.parametrize("inside", [True, False])
def test_the_python_version_is_refused_unread(inside: bool, tmp_path: Path, prepare: Prepare):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cbuiltins\nexec\n(Vraise SystemExit\ntR.")
    with refused("cifar.python_version", folder, "binary version", "cifar-10-batches-bin"):
        prepare("cifar10", "--source", folder if inside else tmp_path)


def test_folders_are_split_by_the_seed(tmp_path: Path, prepare: Prepare):
    for split in ("train", "test"):
        for name in CLASSES:
            (tmp_path / "copy" / split / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (32, 32)).save(tmp_path / "copy" / split / name / f"{number}.png")

    def labeled(*words: object) -> list[str]:
        made = prepare("cifar10", "--source", "copy", "--labeled", 2, *words)
        assert {name: len(manifest) for name, manifest in made.items()} == {"labeled": 6, "unlabeled": 12, "test": 18}
        assert made["unlabeled"].table.column_names == ["path"]
        paths = [made[name].table.column("path").to_pylist() for name in ("labeled", "unlabeled")]
        assert not set(paths[0]) & set(paths[1])
        labels = made["labeled"].table.column("label").to_pylist()
        assert [Path(path).parent.name for path in paths[0]] == labels
        assert all(labels.count(name) == 2 for name in CLASSES)
        return paths[0]

    assert labeled() == labeled("--seed", 0) != labeled("--seed", 1)


def test_what_is_missing_is_a_line(tmp_path: Path, prepare: Prepare):
    folder = write_cifar10(tmp_path / "cifar-10-batches-bin")

    def check(code: str, mentioned: str, name: str = "cifar10", *words: str) -> None:
        with refused(code, mentioned):
            prepare(name, "--source", tmp_path, *words)

    (folder / "data_batch_3.bin").write_bytes(bytes(3072))
    check("cifar.truncated", "data_batch_3.bin has 3072 bytes")
    (folder / "data_batch_3.bin").unlink()
    check("cifar.unreadable", "data_batch_3.bin")
    check("cifar.missing", "cifar-100-binary", "cifar100")
    check("options.invalid", "--seed is -1", "cifar10", "--seed=-1")
    check("options.invalid", "--labeled is -1", "cifar10", "--labeled=-1")
    (folder / "data_batch_3.bin").write_bytes(bytes(3073))
    (folder / "test_batch.bin").write_bytes(b"")
    check("cifar.empty", "test split")
    (folder / "test_batch.bin").write_bytes(bytes([3]) + bytes(3072))
    check("cifar.unknown_class", "test split")
    (folder / "batches.meta.txt").write_text("\n".join([*CLASSES, CLASSES[0]]))
    check("cifar.duplicate_class", "batches.meta.txt")
