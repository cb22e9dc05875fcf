"""CIFAR-10 and CIFAR-100 as their authors pack them: Python pickles or binary rows. They become bytes and class names.

A pickle can run any program that its maker likes. So these are read by an unpickler that knows numpy arrays, plain
values and nothing else.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.errors import UserError

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
    binary = (folder / f"{layout.files['train'][0]}.bin").is_file()
    names = _binary_names(folder / layout.binary_names) if binary else _names(folder / layout.names[0], layout.names[1])
    read = _read_binary if binary else _read_pickle
    splits = {}
    for split, files in layout.files.items():
        parts = [read(folder / (f"{file}.bin" if binary else file), layout) for file in files]
        labels = np.concatenate([labels for _, labels in parts])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise UserError(f"{folder}: the {split} split has a label that is not one of the {len(names)} classes")
        planes = np.concatenate([planes for planes, _ in parts]).reshape(-1, 3, SIDE, SIDE)
        splits[split] = Images(planes, [names[label] for label in labels])
    return splits


def _read_pickle(file: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) uint8 and labels (N,) int64."""
    content = load_pickle(file)
    planes, labels = content.get("data"), content.get(layout.labels)
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (PIXELS,):
        raise UserError(f"{file} has no images under 'data': rows of {PIXELS} bytes")
    if not isinstance(labels, list) or len(labels) != len(planes) or not all(isinstance(one, int) for one in labels):
        raise UserError(f"{file} has no class for each of its {len(planes)} images under '{layout.labels}'")
    return planes, np.array(labels, np.int64)


def _read_binary(file: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Likewise."""
    content, width = np.frombuffer(_bytes(file), np.uint8), layout.label_bytes + PIXELS
    if len(content) % width:
        raise UserError(f"{file} has {len(content)} bytes, which are not rows of {width}: is it cut off?")
    rows = content.reshape(-1, width)
    return rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1].astype(np.int64)


def _names(file: Path, key: str) -> list[str]:
    names = load_pickle(file).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file} has no class names under '{key}'")
    return names


def _binary_names(file: Path) -> list[str]:
    names = [line.strip() for line in _bytes(file).decode("utf-8", "replace").splitlines()]
    return [name for name in names if name]


def load_pickle(file: Path) -> dict[str, Any]:
    """A pickled dict of arrays, lists, texts and numbers.

    Raises:
        UserError: there is no such file, it is damaged, or asks for anything else.
    """
    try:
        with open(file, "rb") as opened:
            content = _Arrays(opened, encoding="latin1").load()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{file}: {error}") from None
    except Exception as error:  # a damaged pickle fails in as many ways as there are values
        raise UserError(f"{file} is no pickle of arrays, or is damaged: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}, not the dict that CIFAR's files hold")
    return content


def _reconstruct() -> Callable[..., np.ndarray]:
    """What a pickled array is rebuilt by; its module is called differently by different versions of numpy."""
    return np.empty(0).__reduce__()[0]  # type: ignore[return-value]


class _Arrays(pickle.Unpickler):
    """Makes numpy arrays and plain values, and refuses to make anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few things that a pickle of arrays may name."""
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return _reconstruct()
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1_bytes
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of CIFAR does, so it is not read")


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """The only use that a pickle of Python 3 in an old protocol makes of `_codecs.encode`."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}, which no file of CIFAR does")
    return text.encode("latin1")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
