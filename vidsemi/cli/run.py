"""`vidsemi run` and `vidsemi transfer`: execute a plan, then write the report."""

import argparse
from typing import TYPE_CHECKING, Any

from vidsemi.cli.options import Answer, add_command, add_config_arguments, integer, local

if TYPE_CHECKING:
    from vidsemi.api.run import RunResult


def add_parsers(subparsers: Any) -> None:
    """Add `run` and `transfer`."""
    parser = add_command(subparsers, "run", run, "run every stage of a config that is not done yet")
    add_config_arguments(parser)
    _add_execution_arguments(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this kind of stage, e.g. select")

    parser = add_command(subparsers, "transfer", transfer, "measure the accuracy of a network on other datasets")
    parser.add_argument("--weights", type=local, required=True, help="weights.pt of a trained network")
    add_config_arguments(parser)
    _add_execution_arguments(parser)


def _add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite",
        metavar="STAGE",
        action="append",
        default=[],
        help="delete and run again stages of this kind that have changed, and what follows them; repeatable",
    )
    parser.add_argument(
        "--reuse",
        metavar="DIR",
        type=local,
        action="append",
        default=[],
        help="take over finished stages of another run that are the same; repeatable",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=integer(1, 1024),
        default=1,
        help="run up to N stages at once, each with its share of the cores and a GPU of its own (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> Answer | None:
    """Run the stages of a config."""
    from vidsemi.api.run import check_run, run

    changes = {"overwrite": options.overwrite, "reuse": options.reuse}
    if options.check:
        return _first(check_run(options.cfg, options.overrides, until=options.until, **changes))
    return _answer(run(options.cfg, options.overrides, until=options.until, jobs=options.jobs, **changes))


def transfer(options: argparse.Namespace) -> Answer | None:
    """Transfer a trained network to other datasets."""
    from vidsemi.api.run import check_transfer, transfer

    changes = {"overwrite": options.overwrite, "reuse": options.reuse}
    if options.check:
        return _first(check_transfer(options.weights, options.cfg, options.overrides, **changes))
    return _answer(transfer(options.weights, options.cfg, options.overrides, jobs=options.jobs, **changes))


def _answer(result: "RunResult") -> Answer | None:
    document = {"output": str(result.output), "results": result.results}
    if not result.results and result.report is None:
        return _first((document, f"{result.output}: no network has been evaluated yet"))
    written = result.report
    return _first((document, "" if written is None else f"{written.text}\n{result.output / 'report.html'}"))


def _first(answer: Answer) -> Answer | None:
    """Of several processes the first answers."""
    from vidsemi.runtime.distributed import is_first

    return answer if is_first() else None
