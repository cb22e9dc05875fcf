"""Writes manifests of CIFAR-10: labelled, unlabelled and test.

    python datasets/cifar10/prepare.py --source cifar10 --labeled 400 --output data/cifar10

`--labeled` training images of every class are D, the others U, their labels withheld; with `all`, all are D.
"""

from vidsemi.cli.cifar import prepare_cifar
from vidsemi.cli.options import run_script
from vidsemi.data.formats.cifar import CIFAR10


def main() -> None:
    """Read the files and write the manifests."""
    prepare_cifar(__doc__.splitlines()[0], CIFAR10, "cifar10", labeled="400")


if __name__ == "__main__":
    run_script(main)
