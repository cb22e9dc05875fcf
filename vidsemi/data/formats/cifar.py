"""CIFAR-10 and CIFAR-100 as their authors pack them, Python pickles or binary rows → bytes and class names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.formats.array_pickle import as_text, load_pickle
from vidsemi.io.errors import UserError

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes an image: its red plane, then green and blue, each row by row


@dataclass(frozen=True)
class Layout:
    """How a dataset is packed.

    Attributes:
        folders: names that its archives unpack to.
        files: of each split, without the suffix `.bin` of the binary version.
        names: pickle with the class names, and their key in it.
        binary_names: text with the same in the binary version.
        labels: key of the labels in a pickle.
        label_bytes: before the pixels of a binary row; the last one is the class.
    """

    folders: tuple[str, ...]
    files: dict[str, tuple[str, ...]]
    names: tuple[str, str]
    binary_names: str
    labels: str
    label_bytes: int


CIFAR10 = Layout(
    folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
    files={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    names=("batches.meta", "label_names"),
    binary_names="batches.meta.txt",
    labels="labels",
    label_bytes=1,
)
CIFAR100 = Layout(
    folders=("cifar-100-python", "cifar-100-binary"),
    files={"train": ("train",), "test": ("test",)},
    names=("meta", "fine_label_names"),
    binary_names="fine_label_names.txt",
    labels="fine_labels",
    label_bytes=2,
)


@dataclass(frozen=True)
class Images:
    """Images of one size and their classes.

    Attributes:
        planes: (N, 3, 32, 32) uint8, RGB.
        labels: N class names.
    """

    planes: np.ndarray
    labels: list[str]


def find_cifar(folder: Path, layout: Layout) -> Path | None:
    """The folder with the files of a dataset: this one, or one in it that its archive makes; None if neither is."""
    files = [name + suffix for name in layout.files["train"] for suffix in ("", ".bin")]
    places = [folder, *(folder / name for name in layout.folders)]
    return next((place for place in places if any((place / file).is_file() for file in files)), None)


def read_cifar(folder: Path, layout: Layout) -> dict[str, Images]:
    """The images of each split.

    Args:
        folder: as `find_cifar` gives it.
        layout: of the dataset.

    Raises:
        UserError: a file is not there, or is not what it should be.
    """
    binary = any((folder / f"{file}.bin").is_file() for file in layout.files["train"])
    names = _binary_names(folder / layout.binary_names) if binary else _names(folder / layout.names[0], layout.names[1])
    if len(set(names)) < len(names):
        raise UserError(f"{folder} names a class twice")
    read = _read_binary if binary else _read_pickle
    splits = {}
    for split, files in layout.files.items():
        parts = [read(folder / (f"{file}.bin" if binary else file), layout) for file in files]
        labels = np.concatenate([labels for _, labels in parts])
        if not len(labels):
            raise UserError(f"{folder}: the {split} split has no images")
        if not 0 <= labels.min() <= labels.max() < len(names):
            raise UserError(f"{folder}: the {split} split has a label that is not one of the {len(names)} classes")
        planes = np.concatenate([planes for planes, _ in parts]).reshape(-1, 3, SIDE, SIDE)
        splits[split] = Images(planes, [names[label] for label in labels])
    return splits


def _read_pickle(file: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) uint8 and labels (N,) int64."""
    content = load_pickle(file)
    planes, labels = content.get("data"), content.get(layout.labels)
    if not isinstance(planes, np.ndarray) or planes.shape[1:] != (PIXELS,):
        raise UserError(f"{file} has no images under 'data': rows of {PIXELS} bytes")
    if not isinstance(labels, list) or len(labels) != len(planes) or not all(map(_is_label, labels)):
        raise UserError(f"{file} has no class for each of its {len(planes)} images under '{layout.labels}'")
    return planes, np.array(labels, np.int64)


def _is_label(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def _read_binary(file: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Likewise."""
    content, width = np.frombuffer(_bytes(file), np.uint8), layout.label_bytes + PIXELS
    if len(content) % width:
        raise UserError(f"{file} has {len(content)} bytes, which are not rows of {width}: is it cut off?")
    rows = content.reshape(-1, width)
    return rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1].astype(np.int64)


def _names(file: Path, key: str) -> list[str]:
    names = load_pickle(file).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise UserError(f"{file} has no class names under '{key}'")
    return [as_text(name) for name in names]


def _binary_names(file: Path) -> list[str]:
    names = [line.strip() for line in _bytes(file).decode("utf-8", "replace").splitlines()]
    return [name for name in names if name]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
