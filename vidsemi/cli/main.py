"""The command line. Standard output carries results only; progress and messages go to standard error.

Exit status: 0 done, 1 a bug in vidsemi, 2 the user's input is wrong, 75 a disk or store stays away, 130 interrupted,
143 terminated.
"""

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from vidsemi import __version__
from vidsemi.cli import hashtags, inference, init, manifest, models, plan, publish, report, run, select, shrink
from vidsemi.cli.options import Answer, Parser, error_line
from vidsemi.io.errors import TEMPORARY, UserError
from vidsemi.io.progress import show_progress
from vidsemi.io.tables import json_text, printable, printable_lines
from vidsemi.runtime.distributed import FirstFailedError, is_first, own_command
from vidsemi.runtime.process import limit_threads

MODULES = (run, plan, init, manifest, shrink, hashtags, inference, select, report, publish, models)

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h

logger = logging.getLogger("vidsemi")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_command(lambda: build_parser(plugins=[*words[:1]] == ["manifest"]), words)


def build_parser(*, plugins: bool = False) -> Parser:
    """The parser of all commands; each module adds its own. `plugins`: with the formats of other packages."""
    parser = Parser(prog="vidsemi", description="Train small action-recognition networks with unlabeled video.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in MODULES:
        if module is manifest:
            manifest.add_parsers(subparsers, plugins=plugins)
        else:
            module.add_parsers(subparsers)
    return parser


def parse(parser: Parser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; `key.path=value` may stand anywhere among the options of `run` and `transfer`."""
    options, rest = parser.parse_known_args(arguments)
    if rest and not (hasattr(options, "overrides") and all("=" in word and word[0] != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def run_command(build: Callable[[], Parser], arguments: Sequence[str] | None = None) -> int:
    """Build a parser, run the command of a command line and print the answer; returns the exit status."""
    # Decoding processes share the cores with the network, and OpenMP threads that spin while they wait take those cores
    # from them (training on 2 cores from files with 2 workers: 260 clips/s spinning, 336 not). torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    limit_threads()
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_escape)
    logger.setLevel(logging.INFO)
    if sys.platform == "win32":
        print(f"vidsemi: error: {error_line(_windows())}", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        with _raise_on_sigterm(), show_progress(True):
            options = parse(build(), arguments)
            answer = options.command(options)
    except FirstFailedError:
        return 2
    except (UserError, OSError) as error:  # OSError: a full disk, a folder without write permission
        print(f"vidsemi: error: {error_line(error)}", file=sys.stderr)
        return TRY_AGAIN if isinstance(error, UserError) and error.code in TEMPORARY else 2
    except KeyboardInterrupt:
        return _interrupted("interrupted", 130)
    except Terminated:
        return _interrupted("terminated", 143)
    if answer is not None:  # of several processes the first one answers
        _print(answer, as_json=options.json)
    return 0


def _windows() -> UserError:
    return UserError(
        "system.windows", "vidsemi runs on Linux and macOS; on Windows use WSL, the Windows Subsystem for Linux"
    )


def _interrupted(how: str, status: int) -> int:
    if is_first():
        print(f"\nvidsemi: {how}; resume with: {printable(own_command())}", file=sys.stderr)
    return status


def _escape(record: logging.LogRecord) -> bool:
    """Escape names of strangers in a log message, which may be a terminal's or a log file's."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg, record.args = printable_lines(message), ()
    return True


def _print(answer: Answer, as_json: bool) -> None:
    document, text = answer
    try:
        print(json_text(document) if as_json else printable_lines(text), flush=True)
    except BrokenPipeError:  # the reader (`| head`) has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Terminated(BaseException):
    """SIGTERM: a scheduler or torchrun ends this process."""


@contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM while the block runs."""

    def terminate(number: int, frame: Any) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not in the main thread, which alone can handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
