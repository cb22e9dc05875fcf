"""Write the manifests of ImageNet-1k (ILSVRC 2012): labeled and test.

    python datasets/imagenet/prepare.py --root ILSVRC2012 --output data/imagenet
    python datasets/imagenet/prepare.py --root ILSVRC2012 --val-labels ILSVRC2012_devkit_t12 --output data/imagenet

Labels are WordNet ids, such as n01440764: their alphabetical order is that of published weights.
"""

import argparse
import csv
from pathlib import Path

from vidsemi.cli.options import run_script
from vidsemi.data.formats.folder import read_folder
from vidsemi.data.formats.media_files import media_files
from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError


def main() -> None:
    """Read both splits, then write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--root", type=Path, required=True, help="folder with train/<wnid>/ and val/")
    parser.add_argument("--val-labels", type=Path, help="of a flat val/: LOC_val_solution.csv, or the devkit's folder")
    parser.add_argument("--output", type=Path, default=Path("data/imagenet"))
    options = parser.parse_args()
    val = options.root / "val"
    train = read_folder(options.root / "train")
    test = read_val(val, options.val_labels) if options.val_labels else read_val_folders(val)
    unknown = set(test.columns["label"]) - set(train.columns["label"])
    if unknown:
        raise UserError(
            "imagenet.unknown_class",
            f"{val} has images of {min(unknown)}, a class without a folder in {options.root / 'train'}",
        )
    for name, scan in {"labeled.parquet": train, "test.parquet": test}.items():
        print(scan.write(options.output / name)[1])


def read_val_folders(val: Path) -> ScanResult:
    """Read the validation images of a copy with class folders."""
    try:
        return read_folder(val)
    except UserError as error:
        raise UserError(error.code, f"{error}; for a flat folder, give its labels with --val-labels") from None


def read_val(val: Path, labels: Path) -> ScanResult:
    """Read the validation images of a flat folder, as the authors distribute it."""
    files: dict[str, str] = {}
    for file in media_files(val):
        if file.stem in files:
            raise UserError("imagenet.duplicate_name", f"{files[file.stem]} and {file} have the same name")
        files[file.stem] = str(file)
    wnids = read_devkit(labels, sorted(files)) if labels.is_dir() else read_solution(labels)
    scan = ScanResult()
    for stem, wnid in wnids.items():
        if stem in files:
            scan.add(path=files[stem], label=wnid)
        else:
            scan.missing.append(stem)
    scan.require_examples(labels, val)
    if unnamed := sorted(files.keys() - wnids.keys()):
        raise UserError(
            "imagenet.unlabeled_images", f"{labels} does not list {len(unnamed)} images of {val}, such as {unnamed[0]}"
        )
    return scan


def read_solution(file: Path) -> dict[str, str]:
    """Read LOC_val_solution.csv: image name → class, the first word of `n03995372 85 1 499 272 …`."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(opened)}
    except (KeyError, IndexError, AttributeError, UnicodeDecodeError, csv.Error):
        raise UserError(
            "imagenet.bad_solution",
            f"{file} is not a LOC_val_solution.csv: it needs the columns ImageId and PredictionString",
        ) from None


def read_devkit(folder: Path, stems: list[str]) -> dict[str, str]:
    """Read the devkit: line i of its ground truth is the class number of image i, and meta.mat lists the classes.

    The numbers do not follow the alphabetical order of WordNet ids.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    data = folder / "data" if (folder / "data").is_dir() else folder
    truth, meta = data / "ILSVRC2012_validation_ground_truth.txt", data / "meta.mat"
    try:
        numbers = [int(line) for line in truth.read_text().split()]
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets}
        labels = [wnids[number] for number in numbers]
    except FileNotFoundError as error:
        raise UserError("file.missing", f"file {error.filename} does not exist") from None
    except (ValueError, KeyError, TypeError, IndexError, OSError, NotImplementedError, MatReadError) as error:
        raise UserError(
            "imagenet.bad_devkit", f"{truth} and {meta} are not files of the ILSVRC 2012 devkit: {error}"
        ) from None
    if len(labels) != len(stems):
        raise UserError(
            "imagenet.bad_devkit", f"{truth} has {len(labels)} lines for {len(stems)} images; all images must be there"
        )
    return dict(zip(stems, labels, strict=True))


if __name__ == "__main__":
    run_script(main)
