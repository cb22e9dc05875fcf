"""The command line of `tools/fuzz.py`. To add a subject, write a module with a `SUBJECT` and name it in `SUBJECTS`."""

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.fuzz.engine import Subject, fuzz, text
from vidsemi.cli.main import run_command
from vidsemi.cli.options import Answer, Parser, add_command, integer, number, reader_count

SUBJECTS = {  # modules of this package, and what they damage
    "videos": "videos of many containers and codecs",
    "parquet": "scores, selections, manifests and other Parquet files",
    "weights": "weights and checkpoints",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz a subject; returns the exit status, 1 if there was any fault."""
    faults = 0

    def command(options: argparse.Namespace) -> Answer:
        nonlocal faults
        subject: Subject = importlib.import_module(f"tools.fuzz.{options.subject}").SUBJECT
        document = fuzz(
            subject,
            files=options.files,
            count=options.count,
            first=options.first,
            seed=options.seed,
            output=options.output,
            workers=reader_count(options),
            seconds=options.seconds,
        )
        faults = document["faults"]
        return document, text(document)

    return run_command(lambda: build_parser(command), arguments) or int(faults > 0)


def build_parser(command: Callable[[argparse.Namespace], Answer]) -> Parser:
    """A parser with a subcommand for each subject."""
    parser = Parser(prog="fuzz.py", description="Damage good files at random and count what vidsemi makes of them.")
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    for name, about in SUBJECTS.items():
        add = add_command(subjects, name, command, f"damage {about}").add_argument
        add("--count", type=integer(1, 10**9), default=1000, metavar="N", help="damaged files (1000)")
        add("--first", type=integer(0, 10**9), default=0, metavar="N", help="number of the first, to run slices (0)")
        add("--seed", type=integer(0, 10**9), default=0, metavar="S", help="another seed damages otherwise (0)")
        add(
            "--files",
            nargs="+",
            type=Path,
            default=[],
            metavar="FILE",
            help="good files or folders; default: made here",
        )
        add("--output", type=Path, default=Path("data/fuzz"), help="folder for files with faults (data/fuzz)")
        add("--workers", type=integer(1, 1024), help="reader processes; default: one per core")
        add("--seconds", type=number(1, 1e5), default=600, metavar="S", help="a file that takes longer hangs (600)")
    return parser
