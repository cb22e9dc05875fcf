"""`python tools/fuzz.py SUBJECT …`: damage good files at random and count what vidsemi makes of them."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this checkout; in this folder select.py hides Python's own

from tools.fuzz.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
