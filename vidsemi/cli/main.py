"""The command line. Standard output carries results only; progress and messages go to standard error.

Exit status: 0 done, 1 our fault, 2 the user's input is wrong, 130 interrupted, 143 terminated.
"""

import argparse
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from vidsemi import __version__
from vidsemi.cli import export as exports
from vidsemi.cli import hashtags, models
from vidsemi.cli import inference as networks
from vidsemi.cli import manifest as manifests
from vidsemi.cli import run as runs
from vidsemi.cli import transfer as transfers
from vidsemi.cli.options import Answer
from vidsemi.io.errors import UserError
from vidsemi.runtime.launch import is_first, own_command

logger = logging.getLogger("vidsemi")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    return run_command(parse(arguments))


def run_command(options: argparse.Namespace) -> int:
    """Call `options.command` and print its answer; returns the exit status."""
    # Decoding processes share the cores with the network, and OpenMP threads that spin while they wait take those cores
    # from them (training on 2 cores from files with 2 workers: 260 clips/s spinning, 336 not). torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        with _terminated_by_signal():
            answer = options.command(options)
    except UserError as error:
        code = f" [{error.code}]" if error.code else ""
        print(f"vidsemi: error: {' '.join(str(error).split())}{code}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that cannot be written to, a file where a folder should be
        why = error.strerror or " ".join(map(str, error.args))
        print(f"vidsemi: error: {error.filename or 'a file'}: {why}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Terminated) as end:
        how, status = ("terminated", 143) if isinstance(end, Terminated) else ("interrupted", 130)
        if is_first():
            print(f"\nvidsemi: {how}; this goes on from here: {own_command()}", file=sys.stderr)
        return status
    if answer is None:  # another process gives it
        return 0
    document, text = answer
    try:
        print(json.dumps(document, indent=2, ensure_ascii=False) if options.json else text, flush=True)
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class Terminated(BaseException):
    """Somebody wants this process to end: a scheduler that needs the machine, or torchrun."""


@contextmanager
def _terminated_by_signal() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this block."""

    def terminate(number: int, frame: Any) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # called from another thread than the main one, which no signal reaches
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and exit with 2."""
        self.exit(2, f"vidsemi: error: {message} ({self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of a command line; `key.path=value` may stand anywhere among the options of `run` and `transfer`."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not (hasattr(options, "overrides") and all("=" in word and word[0] != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> Parser:
    parser = Parser(prog="vidsemi", description="Small action-recognition networks that learn from unlabelled video.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    run = add_command(subparsers, "run", runs.run, "every stage of a config that is not done yet")
    run.add_argument("--cfg", required=True, metavar="FILE", help="config; a bare name is also looked up in configs/")
    run.add_argument("--until", metavar="STAGE", help="leave out the stages after this one, e.g. select")
    run.add_argument("--check", action="store_true", help="look at config, data and output; run nothing")
    run.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings instead of those of the config")

    manifest = add_command(subparsers, "manifest", manifests.manifest, "a manifest from a format that you have")
    manifest.add_argument(
        "format", choices=["table", "folder", "files", "kinetics", "ucf101", "hmdb51", "cub200", "yfcc100m", "tar"]
    )
    manifest.add_argument(
        "files", nargs="*", metavar="FILE", help="table or split file; tars or folders of them, with {0..9} or *"
    )
    manifest.add_argument("--root", type=Path, help="folder of the videos or images")
    manifest.add_argument("--output", type=Path, help="manifest to write, .parquet or .csv")
    manifest.add_argument("--path-column", default="path", help="name of the path column (`table`)")
    manifest.add_argument("--label-column", default="label", help="name of the label column (`table`)")
    manifest.add_argument("--hashtags-column", default="hashtags", help="name of the column of tags (`table`)")
    manifest.add_argument("--id-column", default="id", help="without a path, the file below --root so called (`table`)")
    manifest.add_argument("--subset", choices=["train", "test"], help="which part of it (`hmdb51`, `cub200`)")
    manifest.add_argument("--split", type=int, choices=[1, 2, 3], default=1, help="number of the split (`hmdb51`)")
    manifest.add_argument("--vocabulary", type=Path, metavar="FILE", help="leave out examples without a tag of these")
    manifest.add_argument(
        "--exclude-duplicates-of",
        type=Path,
        nargs="+",
        default=[],
        metavar="TEST",
        help="leave out what test sets have",
    )
    manifest.add_argument("--test-root", type=Path, metavar="FOLDER", help="of the test sets' videos or images")
    manifest.add_argument("--exclude-duplicates", action="store_true", help="leave out what is in the corpus twice")
    manifest.add_argument(
        "--near-test", type=int, default=6, metavar="BITS", help="of 64, near what test sets have (6)"
    )
    manifest.add_argument("--near", type=int, default=2, metavar="BITS", help="of 64, near within the corpus (2)")
    manifest.add_argument("--verify", action="store_true", help="decode every file; write a table of what they are")
    _add_reading(manifest)

    tags = add_command(subparsers, "hashtags", hashtags.hashtags, "a label space of hashtags from names of classes")
    tags.add_argument(
        "--classes", required=True, metavar="FILE", help="names, one a line; a manifest with labels; or kinetics"
    )
    tags.add_argument("--synonyms", type=Path, metavar="CSV", help="further hashtags of classes: class,tag")
    tags.add_argument("--manifest", type=Path, help="examples with hashtags, to count")
    tags.add_argument("--min-examples", type=int, default=50, metavar="N", help="fewest of a label that stays (50)")
    tags.add_argument("--output", type=Path, metavar="CSV", help="label space to write")

    score = add_command(subparsers, "score", networks.score, "score a corpus with a network")
    _add_network(score)
    _add_manifest(score)
    score.add_argument("--output", type=Path, required=True, help="directory for the parts")
    score.add_argument("--per-example", type=int, default=10, metavar="P", help="classes stored an example (10)")
    score.add_argument("--shard-size", type=int, default=1000, help="examples a part; of tars, as many as fit (1000)")
    score.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of the network (auto)"
    )

    predict = add_command(subparsers, "predict", networks.predict, "the best classes of videos and images")
    predict.add_argument("files", nargs="+", metavar="FILE", help="videos, images, or folders of them")
    predict.add_argument("--top", type=int, default=5, metavar="N", help="classes shown (5)")
    _add_network(predict)

    select = add_command(subparsers, "select", runs.select, "choose who teaches what to the student")
    select.add_argument("--scores", type=Path, metavar="DIR", help="directory of scores")
    select.add_argument("--per-class", type=int, metavar="K", help="examples a class takes")
    select.add_argument("--per-example", type=int, metavar="P", help="classes an example may teach")
    select.add_argument("--policy", metavar="NAME", help="balanced_ranked, or a control (docs/selecting.md)")
    select.add_argument("--min-score", type=float, metavar="X", help="lowest score of a candidate")
    select.add_argument("--seed", type=int, help="of a policy that chooses at random")
    select.add_argument("--manifest", type=Path, help="examples with hashtags, for balanced_with_tags")
    select.add_argument("--vocabulary", type=Path, metavar="CSV", help="of `vidsemi hashtags`, likewise")
    select.add_argument("--parts", metavar="FIRST-LAST", help="read these parts only, e.g. 0-99")
    select.add_argument("--merge", type=Path, nargs="+", default=[], metavar="S", help="selections of other parts")
    select.add_argument("--output", type=Path, required=True, help="selection to write, .parquet")

    evaluate = add_command(subparsers, "evaluate", networks.evaluate, "video-level accuracy of a network")
    _add_network(evaluate)
    _add_manifest(evaluate)
    evaluate.add_argument("--by-class", type=Path, metavar="CSV", help="write the accuracy of each class")

    transfer = add_command(subparsers, "transfer", transfers.transfer, "accuracy of a network on other datasets")
    transfer.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    transfer.add_argument("--cfg", required=True, metavar="FILE", help="config with targets (docs/transfer.md)")
    transfer.add_argument("--check", action="store_true", help="look at config, data and weights; run nothing")
    transfer.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings instead of the config's")

    export = add_command(subparsers, "export", exports.export, "a network as a file that runs without vidsemi")
    export.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    export.add_argument("--format", choices=["pt2", "onnx"], help="default: what the name of the output ends with")
    export.add_argument("--output", type=Path, help="file to write, .pt2 or .onnx; default: beside the weights")

    report = add_command(subparsers, "report", runs.report, "accuracy beside FLOPs and speed of one or more runs")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output directory of a run")
    report.add_argument("--output", type=Path, help="where the report goes; default: the run's own directory")
    report.add_argument("--paper", action="store_true", help="with the rows of the paper's Table 7, on Kinetics-400")
    report.add_argument("--no-speed", dest="speed", action="store_false", help="do not time the networks here")
    _add_device(report)

    listing = add_command(subparsers, "models", models.models, "the networks that there are, and what they take")
    listing.add_argument("pattern", nargs="?", metavar="TEXT", help="only those whose names have this in them")

    flops = add_command(subparsers, "flops", models.flops, "parameters, multiply-adds and activations of a network")
    _add_model(flops)
    flops.add_argument("--classes", type=int, default=400, help="outputs of the head (400)")
    flops.add_argument("--views", type=int, default=10, metavar="V", help="views a video (10)")

    convert = add_command(subparsers, "convert", models.convert, "published weights to a file that all commands take")
    convert.add_argument("--weights", required=True, metavar="FILE", help="file or https:// address")
    convert.add_argument("--classes", type=Path, required=True, metavar="TXT", help="class names, one a line, in order")
    convert.add_argument("--output", type=Path, required=True, help="weights.pt to write")
    _add_model(convert)
    convert.add_argument("--stride", type=int, help="step between the frames of a clip (1, or what its zoo says)")
    convert.add_argument(
        "--resize", type=int, nargs="+", metavar="N", help="height and width that frames are scaled to, or shorter side"
    )
    convert.add_argument("--mean", type=float, nargs=3, metavar="X", help="of red, green and blue, from 0 to 1")
    convert.add_argument("--std", type=float, nargs=3, metavar="X", help="likewise")
    return parser


def add_command(
    subparsers: Any, name: str, function: Callable[[argparse.Namespace], Answer | None], about: str
) -> argparse.ArgumentParser:
    """Add a command and the function that it calls."""
    parser = subparsers.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=function)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="NAME", help="`vidsemi models` lists them")
    parser.add_argument("--frames", type=int, metavar="T", help="clip length; default: what the network's zoo says")
    parser.add_argument("--size", type=int, metavar="S", help="side of the crop (112, or what its zoo says)")
    parser.add_argument(
        "--args", nargs="+", default=[], metavar="NAME=VALUE", help="the network's own, as width=0.25 or stem=cifar"
    )


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, required=True, help="examples, .parquet or .csv")
    parser.add_argument("--root", type=Path, help="folder that the manifest's paths start from")


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    parser.add_argument("--views", type=int, default=10, metavar="V", help="clips a video (10)")
    parser.add_argument("--crops", type=int, choices=[1, 10], default=1, help="of each clip: the centre; or ten (1)")
    _add_device(parser)
    _add_reading(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--clips-per-forward", type=int, metavar="N", help="clips in a pass; default: 10 on a CPU, else 64"
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, help="processes that decode; default: one a core")
    parser.add_argument("--seconds-per-file", type=float, default=600, metavar="S", help="limit for a file (600)")
