"""Write manifests of CIFAR-10: labeled, unlabeled and test.

    python datasets/cifar10/prepare.py --source cifar10 --labeled 400 --output data/cifar10

`--labeled` training images of each class keep their labels, the others form the unlabeled set; `all` keeps all labels.
"""

from vidsemi.cli.options import run_script
from vidsemi.data.formats.cifar import CIFAR10, prepare_cifar


def main() -> None:
    """Read the files and write the manifests."""
    print(*prepare_cifar(__doc__.splitlines()[0], CIFAR10, "cifar10", labeled="400"), sep="\n")


if __name__ == "__main__":
    run_script(main)
