"""Write manifests of UCF101 from its split lists: labeled, unlabeled and test.

    python datasets/ucf101/prepare.py --root UCF-101 --splits ucfTrainTestlist --output data/ucf101

Some groups of each class keep their labels; the other training clips form the unlabeled set. Clips of one group
(`_g08_`) are cut from the same video, so a group is never split.
"""

import argparse
import re
from pathlib import Path

from vidsemi.cli.options import run_script
from vidsemi.data.formats.portable_paths import portable_paths
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.split_lists import read_ucf101
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io.errors import UserError


def group_of(path: str) -> int:
    """The group's number: v_Punch_g08_c01.avi → 8."""
    match = re.search(r"_g(\d+)_c\d+$", Path(path).stem)
    if match is None:
        raise UserError("ucf101.no_group", f"{path} has no group in its name, as in v_Punch_g08_c01.avi")
    return int(match[1])


def main() -> None:
    """Read the lists and write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--splits", type=Path, required=True, help="folder with trainlist01.txt, testlist01.txt, …")
    parser.add_argument("--split", type=int, choices=[1, 2, 3], default=1)
    parser.add_argument("--labeled-groups", type=int, default=5, help="labeled groups per class (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("data/ucf101"))
    options = parser.parse_args()
    if options.labeled_groups < 1:
        raise UserError("options.invalid", f"--labeled-groups is {options.labeled_groups}; must be at least 1")
    train = read_ucf101(options.splits / f"trainlist{options.split:02d}.txt", options.root)
    test = read_ucf101(options.splits / f"testlist{options.split:02d}.txt", options.root)
    for scan in (train, test):
        scan.require_examples(options.splits, options.root)
    labeled, unlabeled = split_groups(train, options.labeled_groups)
    scans = {"labeled": labeled, "unlabeled": unlabeled, "test": test}
    for name, scan in scans.items():
        file = options.output / f"{name}.csv"
        write_manifest(file, {**scan.columns, "path": portable_paths(scan.columns["path"], file)})
    sizes = ", ".join(f"{len(scan)} {name}" for name, scan in scans.items())
    print(f"{options.output}: {sizes}, {len(train.missing) + len(test.missing)} listed files do not exist")


def split_groups(train: ScanResult, per_class: int) -> tuple[ScanResult, ScanResult]:
    """Keep the labels of the first groups of each class; return the labeled and the unlabeled set."""
    groups: dict[str, set[int]] = {}
    clips = list(zip(train.columns["path"], train.columns["label"], strict=True))
    for path, label in clips:
        groups.setdefault(label, set()).add(group_of(path))
    labeled_groups = {label: sorted(numbers)[:per_class] for label, numbers in groups.items()}
    labeled, unlabeled = ScanResult(), ScanResult()
    for path, label in clips:
        if group_of(path) in labeled_groups[label]:
            labeled.add(path=path, label=label)
        else:
            unlabeled.add(path=path)
    if not len(unlabeled):
        raise UserError("ucf101.none_unlabeled", f"--labeled-groups {per_class} leaves no group unlabeled")
    return labeled, unlabeled


if __name__ == "__main__":
    run_script(main)
