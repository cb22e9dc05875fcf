"""What commands share."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from vidsemi.io.errors import UserError

Answer = tuple[Any, str]  # the JSON document, and the text for people


def run_script(main: Callable[[], None]) -> NoReturn:
    """Run a dataset's script as commands are run: what is wrong with the input is one line, and exit status 2."""
    try:
        main()
    except UserError as error:
        why = " ".join(str(error).split())
    except OSError as error:  # a full disk, a folder that cannot be written to, a file where a folder should be
        why = f"{error.filename or 'a file'}: {error.strerror or ' '.join(map(str, error.args))}"
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        sys.exit(0)
    print(f"{Path(sys.argv[0]).name}: error: {why}", file=sys.stderr)
    sys.exit(2)


def check_limits(options: argparse.Namespace) -> None:
    """Refuse numbers that nothing can be done with."""
    limits = {
        "views": (1, 10_000),
        "workers": (0, 1024),
        "per_example": (1, 1e6),
        "shard_size": (1, 1e9),
        "seconds_per_file": (0.001, 1e7),
        "clips_per_forward": (1, 1e6),
        "top": (1, 1e6),
        "classes": (1, 1e6),
        "frames": (1, 1e4),
        "size": (1, 1e4),
        "stride": (1, 1e4),
        "min_examples": (0, 1e12),
        "near_test": (0, 16),
        "near": (0, 16),
    }
    for name, (least, most) in limits.items():
        value = getattr(options, name, None)
        if isinstance(value, int | float) and not least <= value <= most:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be from {least} to {most:g}")


def reader_count(options: argparse.Namespace) -> int:
    """Processes that read."""
    from vidsemi.runtime.cores import usable_cores

    return options.workers if options.workers is not None else usable_cores()


def read_class_names(file: Path) -> list[str]:
    """The names of classes in a text file, one a line; empty lines do not count."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text") from None
    names = [line for line in lines if line]
    if not names or len(set(names)) < len(names):
        raise UserError(f"{file} must name each class on a line of its own, and none twice")
    return names
