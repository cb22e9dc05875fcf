"""Shared by the commands: the parser class, argument types with their limits, and groups of arguments."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from vidsemi.io.errors import UserError
from vidsemi.io.progress import show_progress
from vidsemi.io.store import Place, is_remote, parse_place
from vidsemi.io.tables import printable
from vidsemi.runtime.registry import nearest

Answer = tuple[Any, str]  # what a command returns: the JSON document, and the text for people


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise the message of argparse as a `UserError`."""
        message = re.sub(r"^argument (\S+): is ", r"\1 is ", message)  # of the types below
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)$", message):
            near = nearest(choice[1], re.findall(r"[^\s,']+", choice[2]))
            message += f"; did you mean '{near[0]}'?" if near else ""
        raise UserError("options.invalid", f"{message} (see {self.prog} --help)")


def add_command(
    subparsers: Any, name: str, function: Callable[[argparse.Namespace], Answer | None], summary: str
) -> argparse.ArgumentParser:
    """Add a command and the function that it calls."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=function)
    return parser


def integer(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number between two limits."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"is {text}; must be a whole number from {least} to {most}")
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """An argument type: a number between two limits."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"is {text}; must be a number from {least:g} to {most:g}")
        return value

    return parse


def memory_size(text: str) -> int:
    """An argument type: bytes, such as 1G, 1.5G or 700M."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([KMGT])", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"is {text}; must be a number and K, M, G or T, such as 2G")
    return int(float(match[1]) * 1024 ** (1 + "KMGT".index(match[2].upper())))


def local(text: str) -> Path:
    """An argument type: a file or folder on this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"is the address {text}; must be a file or folder on this machine")
    return Path(text)


def place(text: str) -> Place:
    """An argument type: a file or folder on this machine or in a bucket."""
    return parse_place(text) if is_remote(text) else local(text)


def path_or_address(text: str) -> Path | str:
    """An argument type: a file on this machine, or an address that it is fetched from."""
    return text if "://" in text else Path(text)


positive_int = integer(1, 1_000_000)
fraction = number(0, 1)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config of a run or transfer, and settings that replace its own."""
    parser.add_argument("--cfg", required=True, metavar="FILE", help="config; configs/ is searched for a bare name")
    parser.add_argument("--check", action="store_true", help="dry run: check config, data and output, run nothing")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that replace the config's")


def add_manifest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the manifest that a command reads."""
    parser.add_argument(
        "--manifest", type=parse_place, required=True, help="examples, .parquet or .csv, or its address"
    )
    add_root_argument(parser)


def add_root_argument(parser: argparse.ArgumentParser, option: str = "--manifest") -> None:
    """Add the folder that the paths of a manifest start from."""
    parser.add_argument(
        "--root",
        type=parse_place,
        help=f"folder or address, such as s3://bucket/videos, that the paths of {option} are relative to",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a trained network, and how it sees an example."""
    parser.add_argument(
        "--weights", type=path_or_address, required=True, help="weights.pt of a trained network, or its address"
    )
    parser.add_argument(
        "--views", type=integer(1, 10_000), default=10, metavar="V", help="clips per video (default: %(default)s)"
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=[1, 10],
        default=1,
        help="crops per clip: 1 is the center crop (default: %(default)s)",
    )
    add_device_arguments(parser)
    add_decoding_arguments(parser)
    parser.add_argument(
        "--decoder",
        choices=["pyav", "decord", "torchcodec"],
        default="pyav",
        help="video decoder; pyav reads the files that decord or torchcodec get wrong (default: %(default)s)",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where a network runs."""
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes a GPU if there is one (default: %(default)s)"
    )
    parser.add_argument(
        "--clips-per-forward", type=positive_int, metavar="N", help="batch size in clips; default: 10 on a CPU, else 64"
    )


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how files are decoded."""
    parser.add_argument("--workers", type=integer(0, 1024), help="decoding processes; default: one per core")
    parser.add_argument(
        "--seconds-per-file",
        type=number(0.001, 1e7),
        default=600,
        metavar="S",
        help="time limit for decoding a file (default: %(default)s)",
    )


def add_engine_arguments(parser: argparse.ArgumentParser, *, gpus: bool) -> None:
    """Add where workers run, with `gpus` also of work that a GPU does."""
    parser.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="local: this process works; ray: actors on a Ray cluster do (default: %(default)s)",
    )
    parser.add_argument(
        "--actors", type=positive_int, metavar="N", help="workers that Ray keeps alive; default: as many as have room"
    )
    parser.add_argument(
        "--cpus-per-actor",
        type=positive_int,
        default=1,
        metavar="C",
        help="cores that Ray reserves for each actor (default: %(default)s)",
    )
    if gpus:
        parser.add_argument(
            "--gpus-per-actor",
            type=fraction,
            metavar="G",
            help="GPUs that Ray reserves for each actor; default: 1 if there are any",
        )


def reader_count(options: argparse.Namespace) -> int:
    """Number of processes that decode."""
    from vidsemi.runtime.process import usable_cores

    return options.workers if options.workers is not None else usable_cores()


def error_line(error: UserError | OSError) -> str:
    """What the command line prints for an error of the user's or of the file system."""
    if isinstance(error, UserError):
        return f"{printable(' '.join(str(error).split()))} [{error.code}]"
    return printable(f"{error.filename or 'a file'}: {error.strerror or ' '.join(map(str, error.args))}")


def run_script(main: Callable[[], None]) -> NoReturn:
    """Run a dataset's prepare.py with the exit statuses and one-line errors of the command line."""
    try:
        with show_progress(True):
            main()
    except (UserError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
