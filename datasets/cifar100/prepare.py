"""Writes manifests of CIFAR-100: labelled, unlabelled and test.

    python datasets/cifar100/prepare.py --source cifar100 --labeled 100 --output data/cifar100

`--labeled` training images of every class are D, the others U, their labels withheld; with `all`, all are D.
"""

from vidsemi.cli.cifar import prepare_cifar
from vidsemi.cli.options import run_script
from vidsemi.data.formats.cifar import CIFAR100


def main() -> None:
    """Read the files and write the manifests."""
    prepare_cifar(__doc__.splitlines()[0], CIFAR100, "cifar100", labeled="all")


if __name__ == "__main__":
    run_script(main)
