"""`python -m vidsemi` is the command `vidsemi`."""

import sys

from vidsemi.cli.main import main

sys.exit(main())
