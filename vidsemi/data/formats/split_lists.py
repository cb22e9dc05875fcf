"""UCF101, HMDB51 and CUB-200-2011: datasets whose own lists assign each example to the training or test set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.io.errors import UserError

Subset = Literal["train", "test"]
SUBSET: dict[str, Any] = {"choices": ["train", "test"], "required": True, "help": "training or test set"}
SPLIT: dict[str, Any] = {"type": int, "choices": [1, 2, 3], "default": 1, "help": "number of the split (default: 1)"}
HMDB51_MARKS = {"1": "train", "2": "test", "0": None}  # subset that a video belongs to; 0 is neither


@register_format(
    "ucf101", summary="a split list of UCF101", file="split list, such as trainlist01.txt", root="required"
)
def read_ucf101(file: Path, root: Path) -> ScanResult:
    """Read a split list of UCF101: `Class/v_Class_g01_c01.avi`, in training lists with the class number from 1.

    The class is the folder's name. A number must agree with classInd.txt, if that is beside the list.
    """
    scan = ScanResult()
    class_names = _ucf101_classes(file.parent / "classInd.txt")
    for line_number, line in enumerate(read_text_lines(file), start=1):
        path, _, number = line.strip().partition(" ")
        label = Path(path).parent.name
        if not path:
            continue
        if not label:
            raise UserError(
                "ucf101.no_class",
                f"{file}: line {line_number}: '{path}' has no class folder, as in Class/v_Class_g01_c01.avi",
            )
        if number and class_names and class_names.get(number.strip()) != label:
            raise UserError(
                "ucf101.class_mismatch",
                f"{file}: line {line_number}: class number {number} is not {label} according to classInd.txt",
            )
        _add(scan, root, path, label)
    return scan


def _ucf101_classes(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    pairs = (line.strip().partition(" ") for line in read_text_lines(file))
    return {number: name.strip() for number, _, name in pairs}


def _add(scan: ScanResult, root: Path, path: str, label: str) -> None:
    if (root / path).exists():
        scan.add(path=str(root / path), label=label)
    else:
        scan.missing.append(path)


@register_format(
    "hmdb51",
    summary="the split files of HMDB51",
    file="folder of the split files",
    root="required",
    options={"--split": SPLIT, "--subset": SUBSET},
)
def read_hmdb51(folder: Path, root: Path, split: int, subset: Subset) -> ScanResult:
    """Read one of the three splits of HMDB51: a file `<class>_test_split<N>.txt` per class, lines `<file> <0, 1 or 2>`.

    The videos are `<class>/<file>` in the root.
    """
    ending = f"_test_split{split}.txt"
    files = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not files:
        raise UserError(
            "hmdb51.no_split_files", f"{folder} does not contain split files of HMDB51, such as brush_hair{ending}"
        )
    scan = ScanResult()
    for file in files:
        label = file.name.removesuffix(ending)
        for number, (name, mark) in _pairs(file, spaces_in="first"):
            if mark not in HMDB51_MARKS:
                raise UserError(
                    "hmdb51.bad_mark", f"{file}: line {number}: '{mark}' must be 0, 1 (training) or 2 (test)"
                )
            if HMDB51_MARKS[mark] == subset:
                _add(scan, root, f"{label}/{name}", label)
    return scan


@register_format("cub200", summary="CUB-200-2011", root="required", options={"--subset": SUBSET})
def read_cub200(root: Path, subset: Subset) -> ScanResult:
    """Read CUB-200-2011 as its authors distribute it: four lists (images.txt, …) and the folder images."""
    classes = _table(root / "classes.txt")
    images, class_of = _table(root / "images.txt"), _table(root / "image_class_labels.txt")
    is_training = _table(root / "train_test_split.txt")
    scan = ScanResult()
    for number, name in images.items():
        for file, table in (("image_class_labels.txt", class_of), ("train_test_split.txt", is_training)):
            if number not in table:
                raise UserError("cub200.missing_id", f"{root / file} lacks image {number}, which images.txt lists")
        if class_of[number] not in classes:
            raise UserError(
                "cub200.unknown_class",
                f"{root / 'classes.txt'} has no class {class_of[number]}, which image {number} belongs to",
            )
        if is_training[number] not in ("0", "1"):
            raise UserError(
                "cub200.bad_mark",
                f"{root / 'train_test_split.txt'}: image {number}: '{is_training[number]}' must be 0 or 1",
            )
        if (subset == "train") == (is_training[number] == "1"):
            _add(scan, root / "images", name, classes[class_of[number]])
    return scan


def _table(file: Path) -> dict[str, str]:
    table: dict[str, str] = {}
    for number, (key, value) in _pairs(file):
        if key in table:
            raise UserError("cub200.duplicate_id", f"{file}: line {number}: the id {key} is listed twice")
        table[key] = value
    return table


def _pairs(file: Path, spaces_in: Literal["first", "second"] = "second") -> Iterator[tuple[int, tuple[str, str]]]:
    """Line numbers and the two parts of each line that is not empty; one of the parts may contain spaces."""
    for number, line in enumerate(read_text_lines(file), start=1):
        parts = line.strip().split(maxsplit=1) if spaces_in == "second" else line.strip().rsplit(maxsplit=1)
        if parts and len(parts) != 2:
            raise UserError("split_list.bad_line", f"{file}: line {number}: expected two words, not '{line.strip()}'")
        if parts:
            yield number, (parts[0], parts[1])
