"""`python tools/transfer.py …` is `vidsemi transfer …`, from a checkout."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this checkout; in this folder select.py hides Python's own

from vidsemi.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["transfer", *sys.argv[1:]]))
