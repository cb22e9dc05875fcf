"""Writes manifests of UCF101 from its split files: labelled, unlabelled and test.

    python datasets/ucf101/prepare.py --root UCF-101 --splits ucfTrainTestlist --output data/ucf101

Part of the training clips are taken as U, their labels withheld. Clips of one group (`_g08_`) are cut from the same
video, so whole groups go to one side.
"""

import argparse
import re
from pathlib import Path

from vidsemi.cli.options import run_script
from vidsemi.data.formats.readers import portable_paths, read_ucf101
from vidsemi.data.manifest import write_manifest
from vidsemi.io.errors import UserError


def group_of(path: str) -> int:
    """The group's number: v_Punch_g08_c01.avi → 8."""
    match = re.search(r"_g(\d+)_c\d+$", Path(path).stem)
    if match is None:
        raise UserError(f"{path} has no group in its name, as v_Punch_g08_c01.avi has")
    return int(match[1])


def main() -> None:
    """Read the lists and write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder with one folder a class")
    parser.add_argument("--splits", type=Path, required=True, help="folder with trainlist01.txt, testlist01.txt, …")
    parser.add_argument("--split", type=int, choices=[1, 2, 3], default=1)
    parser.add_argument("--labeled-groups", type=int, default=5, help="groups a class that keep their labels")
    parser.add_argument("--output", type=Path, default=Path("data/ucf101"))
    options = parser.parse_args()
    if options.labeled_groups < 1:
        raise UserError("--labeled-groups must be at least 1")
    train = read_ucf101(options.splits / f"trainlist{options.split:02d}.txt", options.root)
    test = read_ucf101(options.splits / f"testlist{options.split:02d}.txt", options.root)
    if not train.columns or not test.columns:
        raise UserError(f"no clips of {options.splits} are under {options.root}")
    clips = list(zip(train.columns["path"], train.columns["label"], strict=True))
    groups: dict[str, set[int]] = {}
    for path, label in clips:
        groups.setdefault(label, set()).add(group_of(path))
    labeled_groups = {label: sorted(numbers)[: options.labeled_groups] for label, numbers in groups.items()}
    labeled = [(path, label) for path, label in clips if group_of(path) in labeled_groups[label]]
    unlabeled = [path for path, label in clips if group_of(path) not in labeled_groups[label]]
    if not unlabeled:
        raise UserError(f"--labeled-groups {options.labeled_groups} leaves no group unlabelled")
    columns = {
        "labeled": {"path": [path for path, _ in labeled], "label": [label for _, label in labeled]},
        "unlabeled": {"path": unlabeled},
        "test": {"path": test.columns["path"], "label": test.columns["label"]},
    }
    for name, values in columns.items():
        manifest = options.output / f"{name}.csv"
        write_manifest(manifest, {**values, "path": portable_paths(values["path"], manifest)})
    sizes = ", ".join(f"{len(values['path'])} {name}" for name, values in columns.items())
    print(f"{options.output}: {sizes}, {len(train.missing) + len(test.missing)} listed but not there")


if __name__ == "__main__":
    run_script(main)
