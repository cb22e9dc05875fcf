"""Write manifests of CIFAR-100: labeled, unlabeled and test.

    python datasets/cifar100/prepare.py --source cifar100 --labeled 100 --output data/cifar100

`--labeled` training images of each class keep their labels, the others form the unlabeled set; `all` keeps all labels.
"""

from vidsemi.cli.options import run_script
from vidsemi.data.formats.cifar import CIFAR100, prepare_cifar


def main() -> None:
    """Read the files and write the manifests."""
    print(*prepare_cifar(__doc__.splitlines()[0], CIFAR100, "cifar100", labeled="all"), sep="\n")


if __name__ == "__main__":
    run_script(main)
