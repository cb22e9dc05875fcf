"""CIFAR-10 and CIFAR-100: the authors' binary version or class folders of images, split for semi-supervised learning.

The library of datasets/cifar10/prepare.py and datasets/cifar100/prepare.py.
"""

import argparse
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.data.formats.folder import read_folder
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.tar import index_tar
from vidsemi.data.manifest import Row
from vidsemi.data.split import split_labeled
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes of an image: its red plane, then green and blue, each row by row
IMAGES_PER_TAR = 1000  # scoring workers never share a tar


@dataclass(frozen=True)
class Layout:
    """The files of a dataset."""

    folder: str  # that the archive of the binary version unpacks to
    pickle_folder: str  # that the archive of the Python version unpacks to, which is not read
    files: dict[str, tuple[str, ...]]  # of each split
    class_names: str  # text file
    label_bytes: int  # before the pixels of an image; the last one is the class


CIFAR10 = Layout(
    folder="cifar-10-batches-bin",
    pickle_folder="cifar-10-batches-py",
    files={"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
    class_names="batches.meta.txt",
    label_bytes=1,
)
CIFAR100 = Layout(
    folder="cifar-100-binary",
    pickle_folder="cifar-100-python",
    files={"train": ("train.bin",), "test": ("test.bin",)},
    class_names="fine_label_names.txt",
    label_bytes=2,
)


@dataclass(frozen=True)
class Images:
    """Images and their classes."""

    planes: np.ndarray  # (N, 3, 32, 32) uint8, RGB
    labels: list[str]


def read_cifar(folder: Path, layout: Layout) -> dict[str, Images]:
    """Read the binary version: the images of each split."""
    lines = _read(folder / layout.class_names).decode("utf-8", "replace").splitlines()
    names = list(filter(None, map(str.strip, lines)))
    if len(set(names)) < len(names):
        raise UserError("cifar.duplicate_class", f"{folder / layout.class_names} lists a class twice")
    splits = {}
    for split, files in layout.files.items():
        rows = np.concatenate([_read_rows(folder / file, layout) for file in files])
        planes, labels = rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1]
        if not len(labels):
            raise UserError("cifar.empty", f"{folder}: the {split} split has no images")
        if labels.max() >= len(names):
            raise UserError(
                "cifar.unknown_class", f"{folder}: the {split} split has a label outside the {len(names)} classes"
            )
        splits[split] = Images(planes.reshape(-1, 3, SIDE, SIDE), [names[label] for label in labels])
    return splits


def _read_rows(file: Path, layout: Layout) -> np.ndarray:
    """(N, label bytes and pixels) uint8."""
    content, width = np.frombuffer(_read(file), np.uint8), layout.label_bytes + PIXELS
    if len(content) % width:
        raise UserError(
            "cifar.truncated", f"{file} has {len(content)} bytes, not a multiple of {width}; is it truncated?"
        )
    return content.reshape(-1, width)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError("cifar.unreadable", f"{file}: {error.strerror or error}") from None


def scan_cifar(source: Path, layout: Layout, output: Path) -> dict[str, ScanResult]:
    """The labeled examples of the training and test splits.

    The source is a folder with the binary version, whose images become tars of PNGs (lossless) in OUTPUT/images, or one
    with class folders train/<class>/ and test/<class>/.
    """
    for folder in (source, source / layout.folder):
        if any((folder / file).is_file() for file in layout.files["train"]):
            splits = read_cifar(folder, layout)
            return {split: _pack(images, output / "images", split) for split, images in splits.items()}
    if (source / "train").is_dir() and (source / "test").is_dir():
        return {split: read_folder(source / split) for split in ("train", "test")}
    for folder in (source, source / layout.pickle_folder):
        if any((folder / file.removesuffix(".bin")).is_file() for file in layout.files["train"]):
            raise UserError(
                "cifar.python_version",
                f'{folder} is the Python version, which is not read; get the "binary version" ({layout.folder})',
            )
    raise UserError(
        "cifar.missing",
        f"{source} contains neither {layout.folder} nor folders train and test; unpack the archive first",
    )


def _pack(images: Images, folder: Path, split: str) -> ScanResult:
    """Write tars of PNGs whose names do not reveal the classes."""
    from PIL import Image

    scan = ScanResult()
    with progress_bar(len(images.labels), "image", split) as bar:
        for first in range(0, len(images.labels), IMAGES_PER_TAR):
            file = folder / f"{split}-{first // IMAGES_PER_TAR:06d}.tar"
            labels = images.labels[first : first + IMAGES_PER_TAR]
            with atomic_path(file) as temporary, tarfile.open(temporary, "w") as tar:
                for number in range(first, first + len(labels)):
                    content = io.BytesIO()
                    Image.fromarray(images.planes[number].transpose(1, 2, 0)).save(content, "PNG")
                    member = tarfile.TarInfo(f"{split}-{number:06d}.png")
                    member.size = content.tell()
                    content.seek(0)
                    tar.addfile(member, content)
                    bar.update()
            index = index_tar(Row(0, str(file)))
            for place, label in enumerate(labels):
                values = {name: column[place] for name, column in index.columns.items()}
                scan.add(**{**values, "label": label})
    return scan


def prepare_cifar(description: str, layout: Layout, name: str, labeled: str) -> list[str]:
    """Parse the command line and write labeled.csv, test.csv and, if only some labels are kept, unlabeled.csv.

    `labeled` is the default of `--labeled`, data/NAME that of `--output`.

    Returns:
        A line per manifest.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    source = f"folder with {layout.folder}, or with train/<class>/ and test/<class>/"
    parser.add_argument("--source", type=Path, required=True, help=source)
    parser.add_argument("--labeled", default=labeled, metavar="N", help=f"labeled images per class, or all ({labeled})")
    parser.add_argument("--seed", type=int, default=0, help="seed for choosing them (0)")
    parser.add_argument("--output", type=Path, default=Path("data", name))
    options = parser.parse_args()
    if options.labeled != "all" and not options.labeled.isdecimal():
        raise UserError(
            "options.invalid", f"--labeled is {options.labeled}; must be a number of images per class, or all"
        )
    if options.seed < 0:
        raise UserError("options.invalid", f"--seed is {options.seed}; must be 0 or more")
    splits = scan_cifar(options.source, layout, options.output)
    scans = {"labeled.csv": splits["train"], "test.csv": splits["test"]}
    if options.labeled == "all":
        (options.output / "unlabeled.csv").unlink(missing_ok=True)  # of an earlier call
    else:
        labeled_set, unlabeled_set = split_labeled(splits["train"], int(options.labeled), options.seed)
        scans |= {"labeled.csv": labeled_set, "unlabeled.csv": unlabeled_set}
    return [scan.write(options.output / file)[1] for file, scan in scans.items()]
