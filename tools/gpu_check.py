"""`python tools/gpu_check.py --output DIR`: check and measure everything on a GPU in one call of at most 540 s."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this checkout

from tools.gpu.check import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
