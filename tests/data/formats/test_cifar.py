"""CIFAR's own files and folders of images become the manifests of a run; a pickle that wants more is refused."""

import importlib.util
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import REPOSITORY
from vidsemi.data.formats import cifar_unpack as cifar_stage
from vidsemi.data.formats.array_pickle import load_pickle
from vidsemi.data.formats.cifar import CIFAR10, CIFAR100, read_cifar
from vidsemi.data.formats.readers import Found
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.read import read_frames
from vidsemi.data.split import withhold_labels
from vidsemi.io.errors import UserError

Prepare = Callable[..., dict[str, Manifest]]
CLASSES = ["airplane", "ship", "truck"]


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def python2_pickle(data: np.ndarray | None, **lists: list) -> bytes:
    """As Python 2 pickles a dict of one array and lists, which is how CIFAR is published."""
    out = b"\x80\x02}("
    if data is not None:
        out += text("data") + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text("b") + b"\x87R"
        shape = b"".join(b"J" + struct.pack("<i", size) for size in data.shape)
        kind = b"cnumpy\ndtype\n" + text("u1") + b"K\0K\x01\x87R(K\x03" + text("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
        content = b"T" + struct.pack("<i", data.nbytes) + data.tobytes()
        out += b"(K\x01" + shape + b"\x86" + kind + b"K\0tb" + b"\x89" + content + b"tb"
    for name, values in lists.items():
        items = b"".join(text(one) if isinstance(one, str) else pickle.dumps(one, 2)[2:-1] for one in values)
        out += text(name) + b"](" + items + b"e"
    return out + b"u."


def images(seed: int, count: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), [i % 3 for i in range(count)]


def write_cifar10(folder: Path, binary: bool = False) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        planes, labels = images(number, 12)
        if binary:
            rows = np.concatenate([np.array(labels, np.uint8)[:, None], planes], 1)
            (folder / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            (folder / name).write_bytes(python2_pickle(planes, labels=labels, filenames=["a.png"] * 12))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(python2_pickle(None, label_names=CLASSES))
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


@pytest.mark.parametrize("binary", [False, True])
def test_images_and_labels_are_those_of_torchvision(
    binary: bool, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
):
    write_cifar10(tmp_path / "cifar-10-batches-py")
    monkeypatch.setattr(cifar_stage, "IMAGES_A_TAR", 25)
    source = write_cifar10(tmp_path / "cifar-10-batches-bin", binary=True) if binary else tmp_path
    made = prepare("cifar10", "--source", source, "--labeled", "all")
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    assert set(made) == {"labeled", "test"}
    for name, manifest in made.items():
        reference = torchvision.datasets.CIFAR10(str(tmp_path), train=name == "labeled")
        labels = manifest.table.column("label").to_pylist()
        assert labels == [CLASSES[target] for target in reference.targets]
        assert np.array_equal(pixels(manifest).transpose(0, 2, 3, 1), reference.data)
        assert not any(label in manifest.row(place).path for place, label in enumerate(labels))
    assert len({manifest.row(i).path for manifest in made.values() for i in range(len(manifest))}) == 3 + 1


def test_cifar100_has_the_fine_classes(tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for seed, name in enumerate(("train", "test")):
        planes, labels = images(seed, 9)
        (folder / name).write_bytes(python2_pickle(planes, fine_labels=labels, coarse_labels=[0] * 9))
    (folder / "meta").write_bytes(python2_pickle(None, fine_label_names=CLASSES, coarse_label_names=["vehicles"]))
    made = prepare("cifar100", "--source", tmp_path)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    reference = torchvision.datasets.CIFAR100(str(tmp_path))
    assert np.array_equal(pixels(made["labeled"]).transpose(0, 2, 3, 1), reference.data)
    assert made["labeled"].table.column("label").to_pylist() == [CLASSES[target] for target in reference.targets]
    binary = tmp_path / "cifar-100-binary"
    binary.mkdir()
    planes, labels = images(0, 9)
    for name in ("train", "test"):
        rows = np.concatenate([np.full((9, 1), 7, np.uint8), np.array(labels, np.uint8)[:, None], planes], 1)
        (binary / f"{name}.bin").write_bytes(rows.tobytes())
    (binary / "fine_label_names.txt").write_text("\n".join(CLASSES))
    read = read_cifar(binary, CIFAR100)["train"]
    assert read.labels == [CLASSES[label] for label in labels]
    assert np.array_equal(read.planes.reshape(9, -1), planes)


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


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_a_class_is_drawn_whatever_the_others_are(sizes: list[int], seed: int):
    def split(sizes: list[int]) -> list[str]:
        found = Found()
        for number, size in enumerate(sizes):
            for place in range(size + 1):
                found.add(path=f"{number}/{place}", label=str(number))
        labeled, unlabeled = withhold_labels(found, 1, seed)
        assert sorted(labeled.columns["path"] + unlabeled.columns["path"]) == sorted(found.columns["path"])
        assert labeled.columns["label"] == [str(number) for number in range(len(sizes))]
        return labeled.columns["path"]

    assert split([*sizes, 4])[:-1] == split(sizes)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_something_is_refused(protocol: int, tmp_path: Path):
    asks = r"it asks for (__builtin__|builtins)\.exec, which no file|of a kind that no file of CIFAR does"
    other = r"no file of CIFAR does"
    for content, reason in ((Evil(), asks), ({"data": Evil()}, asks), ({"data": np.array([Evil()], object)}, other)):
        (tmp_path / "train").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(UserError, match=reason):
            load_pickle(tmp_path / "train")


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_python_3_are_read(protocol: int, tmp_path: Path):
    content = {"data": images(0, 2)[0], "labels": [0, 1]}
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol))
    read = load_pickle(tmp_path / "train")
    assert np.array_equal(read["data"], content["data"]) and read["labels"] == [0, 1]


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text("b") + b"\x87R"
BYTES = b"cnumpy\ndtype\n" + text("u1") + b"K\0K\x01\x87R"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"cnumpy\ndtype\n" + text("V8") + b"\x85R", "something other than bytes"),
        (b"cnumpy\ndtype\n" + text("O") + b"\x85R", "something other than bytes"),
        (ARRAY + b"(K\x01K\x02\x85" + b"Nb"[:1] + b"\x89" + text("ab") + b"tb", "something other than bytes"),
        (ARRAY + b"(K\x01K\x63\x85" + BYTES + b"\x89U\x02abtb", "cannot reshape"),
        (b"cnumpy\nndarray\n(J\x80\x96\x98\0M\0\x0ct" + text("u1") + b"\x86R", "no images under 'data'"),
        (b"cnumpy\ndtype\n}" + text("_make") + b"Nsb", "changes what it names"),
        (b"r\xff\xff\xff\xffN", "no images under 'data'"),  # a memo place that would take 64 GB in a list
        (b"\x96" + b"\xff" * 6 + b"\0\0", "of a kind that no file of CIFAR does"),  # a bytearray of 281 TB
        (
            b"}" + b")" + b"\x85" * 3_000_000 + b"K\x01s",
            "keys that are no texts",
        ),  # whose hash would overflow the stack
        (b"cnumpy\ndtype\nK\x01\x85" + b"q\x09h\x09\x86" * 40 + b"\x85R", "something other than bytes"),  # 2^40 leaves
        (b"(K\x01K\x02\x91", "of a kind that no file of CIFAR does"),  # a set
        (ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + BYTES + b"\x89U\x02abtb", "an array of no size"),
    ],
)
def test_a_pickle_that_is_forged_is_a_line(value: bytes, reason: str, tmp_path: Path):
    """Arrays of types that point elsewhere, of more than the file holds, changed stand-ins, made-up sizes."""
    folder = write_cifar10(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_1").write_bytes(b"\x80\x02}(" + text("data") + value + text("labels") + b"]u.")
    with pytest.raises(UserError, match=reason):
        read_cifar(folder, CIFAR10)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no pickle of arrays, or is damaged"),
        (
            python2_pickle(*images(0, 3)[:1], labels=[0, 1, 2])[:-500],
            "data_batch_1 is no pickle of arrays, or is damaged",
        ),
        (python2_pickle(None, labels=[0]), "has no images under 'data'"),
        (python2_pickle(images(0, 3)[0], labels=[0, 1, -(2**70)]), "has no class for each of its 3 images"),
        (pickle.dumps([1, 2]), "holds a list, not the dict"),
        (pickle.dumps({"labels": []}, 2), "has no images under 'data'"),
        (python2_pickle(images(0, 3)[0][:, :99], labels=[0, 1, 2]), "has no images under 'data'"),
        (python2_pickle(images(0, 3)[0], labels=[0, 1]), "has no class for each of its 3 images"),
        (python2_pickle(images(0, 3)[0], labels=[0, 1, 9]), "the train split has a label that is not one of the 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_line(content: bytes, reason: str, tmp_path: Path):
    folder = write_cifar10(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_cifar(folder, CIFAR10)


def test_what_is_missing_is_a_line(tmp_path: Path, prepare: Prepare):
    folder = write_cifar10(tmp_path / "cifar-10-batches-bin", binary=True)
    (folder / "data_batch_3.bin").write_bytes(bytes(3072))
    with pytest.raises(UserError, match="has 3072 bytes, which are not rows of 3073: is it cut off"):
        prepare("cifar10", "--source", tmp_path)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_3\.bin: No such file"):
        prepare("cifar10", "--source", tmp_path)
    with pytest.raises(UserError, match="has neither files of CIFAR, such as train, nor folders train and test"):
        prepare("cifar100", "--source", tmp_path)
    with pytest.raises(UserError, match="--seed is -1"):
        prepare("cifar10", "--source", tmp_path, "--seed=-1")
    (folder / "data_batch_3.bin").write_bytes(bytes(3073))
    (folder / "test_batch.bin").write_bytes(b"")
    with pytest.raises(UserError, match="the test split has no images"):
        prepare("cifar10", "--source", tmp_path)
    with pytest.raises(UserError, match="--labeled is -1"):
        prepare("cifar10", "--source", tmp_path, "--labeled=-1")


@pytest.mark.parametrize(("labeled", "why"), [(0, "at least 1"), (3, "fewer than 3"), (2, "none is left unlabelled")])
def test_splits_that_cannot_be_made(labeled: int, why: str):
    found = Found(columns={"path": list("abc"), "label": list("xxx")}, missing=["d"], missing_are="files are odd")
    kept, _ = withhold_labels(found, 1, 0)
    assert (kept.missing, kept.missing_are) == (["d"], "files are odd")
    with pytest.raises(UserError, match=why):
        withhold_labels(Found(columns={"path": ["a", "b"], "label": ["x", "x"]}), labeled, 0)
