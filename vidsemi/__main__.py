"""`python -m vidsemi` is the command `vidsemi`."""

import sys

from vidsemi.cli import main

sys.exit(main())
