"""Writes manifests of CIFAR-10: labelled, unlabelled and test.

    python datasets/cifar10/prepare.py --source cifar10 --labeled 400 --output data/cifar10

`--labeled` training images of every class are D, the others U, their labels withheld.
"""

import argparse
from pathlib import Path

from vidsemi.commands.answer import run_script
from vidsemi.corpus.formats import read_folder
from vidsemi.corpus.found import write_found
from vidsemi.corpus.withhold import withhold_labels


def main() -> None:
    """Read the folders and write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--source", type=Path, required=True, help="folder with train/<class>/ and test/<class>/")
    parser.add_argument("--labeled", type=int, default=400, help="images a class that keep their labels")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of those images")
    parser.add_argument("--output", type=Path, default=Path("data/cifar10"))
    options = parser.parse_args()
    labeled, unlabeled = withhold_labels(read_folder(options.source / "train"), options.labeled, options.seed)
    found = {"labeled.csv": labeled, "unlabeled.csv": unlabeled, "test.csv": read_folder(options.source / "test")}
    for name, examples in found.items():
        print(write_found(options.output / name, examples))


if __name__ == "__main__":
    run_script(main)
