"""`python tools/bench.py SUBJECT …`: benchmark a part of vidsemi against peers and limits."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this checkout; in this folder select.py hides Python's own

from tools.bench.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
