"""Datasets whose own files say of each example whether it is for training or for testing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from vidsemi.data.formats.readers import Found, read_lines
from vidsemi.io.errors import UserError

Subset = Literal["train", "test"]
HMDB51_MARKS = {"1": "train", "2": "test", "0": None}  # what a split file says of a video; 0 is in neither


def read_hmdb51(folder: Path, root: Path, split: int, subset: Subset) -> Found:
    """One of the three splits of HMDB51: `<class>_test_split<N>.txt` for each class, of lines `<file> <0, 1 or 2>`.

    Args:
        folder: of the split files.
        root: of the videos, `<class>/<file>`.
        split: its number, from 1.
        subset: which examples are wanted.

    Raises:
        UserError: there are no such files, or a line is none of theirs.
    """
    ending = f"_test_split{split}.txt"
    files = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no split files of HMDB51, such as brush_hair{ending}")
    found = Found()
    for file in files:
        label = file.name.removesuffix(ending)
        for number, (name, mark) in _pairs(file, spaces_in="first"):
            if mark not in HMDB51_MARKS:
                raise UserError(f"{file}: line {number}: '{mark}' is none of 0, 1 (train) and 2 (test)")
            if HMDB51_MARKS[mark] != subset:
                continue
            if (root / label / name).exists():
                found.add(path=str(root / label / name), label=label)
            else:
                found.missing.append(f"{label}/{name}")
    return found


def read_cub200(root: Path, subset: Subset) -> Found:
    """CUB-200-2011 as its authors pack it.

    That is images.txt, image_class_labels.txt, train_test_split.txt, classes.txt and the folder images.

    Args:
        root: folder that holds these.
        subset: which examples are wanted.

    Raises:
        UserError: a file is missing, a line is none of its, or the files disagree about the ids.
    """
    classes = _table(root / "classes.txt")
    images, class_of = _table(root / "images.txt"), _table(root / "image_class_labels.txt")
    trained_on = _table(root / "train_test_split.txt")
    found = Found()
    for number, name in images.items():
        for file, table in (("image_class_labels.txt", class_of), ("train_test_split.txt", trained_on)):
            if number not in table:
                raise UserError(f"{root / file} says nothing of image {number}, which images.txt names")
        if class_of[number] not in classes:
            raise UserError(f"{root / 'classes.txt'} has no class {class_of[number]}, which image {number} is of")
        if trained_on[number] not in ("0", "1"):
            raise UserError(f"{root / 'train_test_split.txt'}: image {number}: '{trained_on[number]}' is not 0 or 1")
        if (subset == "train") != (trained_on[number] == "1"):
            continue
        if (root / "images" / name).exists():
            found.add(path=str(root / "images" / name), label=classes[class_of[number]])
        else:
            found.missing.append(name)
    return found


def _table(file: Path) -> dict[str, str]:
    """The lines `<id> <value>` of a file, no id twice."""
    table: dict[str, str] = {}
    for number, (key, value) in _pairs(file):
        if key in table:
            raise UserError(f"{file}: line {number}: the id {key} comes twice")
        table[key] = value
    return table


def _pairs(file: Path, spaces_in: Literal["first", "second"] = "second") -> Iterator[tuple[int, tuple[str, str]]]:
    """Line numbers and the two parts of each line that is not empty; one of them may have spaces in it."""
    for number, line in enumerate(read_lines(file), start=1):
        parts = line.strip().split(maxsplit=1) if spaces_in == "second" else line.strip().rsplit(maxsplit=1)
        if parts and len(parts) != 2:
            raise UserError(f"{file}: line {number}: expected two words, not '{line.strip()}'")
        if parts:
            yield number, (parts[0], parts[1])
