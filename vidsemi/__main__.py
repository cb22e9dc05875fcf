"""`python -m vidsemi`: the command line."""

import sys

from vidsemi.cli.main import main

sys.exit(main())
