"""What datasets/cifar10/prepare.py and datasets/cifar100/prepare.py do."""

import argparse
from pathlib import Path

from vidsemi.data.formats.cifar import Layout
from vidsemi.data.formats.cifar_unpack import cifar_splits
from vidsemi.data.formats.writer import write_found
from vidsemi.data.split import withhold_labels
from vidsemi.io.errors import UserError


def prepare_cifar(about: str, layout: Layout, name: str, labeled: str) -> None:
    """Write the manifests: labelled and test, and unlabelled where only some labels are kept.

    Args:
        about: what the script does.
        layout: of the dataset's own files.
        name: of the folder in data/.
        labeled: default of the option.
    """
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help=f"folder with {layout.folders[0]} or {layout.folders[1]}, or with train/<class>/ and test/<class>/",
    )
    parser.add_argument(
        "--labeled", default=labeled, metavar="N", help=f"images a class with labels, or all ({labeled})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw of those images")
    parser.add_argument("--output", type=Path, default=Path("data", name))
    options = parser.parse_args()
    if options.labeled != "all" and not options.labeled.isdecimal():
        raise UserError(f"--labeled is {options.labeled}; it must be a number of images a class, or all")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}; it must be 0 or more")
    splits = cifar_splits(options.source, layout, options.output)
    found = {"labeled.csv": splits["train"], "test.csv": splits["test"]}
    if options.labeled != "all":
        found["labeled.csv"], found["unlabeled.csv"] = withhold_labels(
            splits["train"], int(options.labeled), options.seed
        )
    else:
        (options.output / "unlabeled.csv").unlink(missing_ok=True)  # of an earlier call: all of it is labelled now
    for file, examples in found.items():
        print(write_found(options.output / file, examples))
