"""`vidsemi run` and `vidsemi transfer`: execute a plan, then write the report."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidsemi.cli.options import Answer, add_command, add_config_arguments
from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    from vidsemi.config import Config, TransferConfig

C = TypeVar("C", "Config", "TransferConfig")


def add_parsers(subparsers: Any) -> None:
    """Add `run` and `transfer`."""
    parser = add_command(subparsers, "run", run, "run every stage of a config that is not done yet")
    add_config_arguments(parser)
    _add_change_arguments(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this kind of stage, e.g. select")

    parser = add_command(subparsers, "transfer", transfer, "measure the accuracy of a network on other datasets")
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    add_config_arguments(parser)
    _add_change_arguments(parser)


def _add_change_arguments(parser: argparse.ArgumentParser) -> None:
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
        type=Path,
        action="append",
        default=[],
        help="take equal stages over from the output of another run; repeatable",
    )


def run(options: argparse.Namespace) -> Answer | None:
    """Run the stages of a config."""
    from vidsemi.config.load import load_config
    from vidsemi.pipeline import run as pipeline

    def load() -> "Config":
        config = load_config(options.cfg, options.overrides)
        _check_kinds(options)
        return config

    changes = {"overwrite": options.overwrite, "reuse": options.reuse}
    return _execute(
        options,
        load,
        lambda config: pipeline.check(config, **changes),
        lambda config: pipeline.run(config, options.until, **changes),
    )


def transfer(options: argparse.Namespace) -> Answer | None:
    """Transfer a trained network to other datasets."""
    from vidsemi.config.load import load_transfer_config
    from vidsemi.pipeline import run as pipeline

    def load() -> "TransferConfig":
        config = load_transfer_config(options.cfg, options.overrides)
        _check_kinds(options)
        return config

    changes = {"overwrite": options.overwrite, "reuse": options.reuse}
    return _execute(
        options,
        load,
        lambda config: pipeline.check_transfer(options.weights, config, **changes),
        lambda config: pipeline.transfer(options.weights, config, **changes),
    )


def _check_kinds(options: argparse.Namespace) -> None:
    from vidsemi.pipeline.stage import KINDS

    for option, kinds in {"--until": [getattr(options, "until", None)], "--overwrite": options.overwrite}.items():
        for kind in kinds:
            if kind and kind not in KINDS:
                known = ", ".join(KINDS)
                raise UserError("run.unknown_stage", f"unknown stage '{kind}' for {option}; choose one of {known}")


def _execute(
    options: argparse.Namespace,
    load: Callable[[], C],
    check: Callable[[C], Answer],
    execute: Callable[[C], list[dict[str, Any]]],
) -> Answer | None:
    """Load a config, then check it (`--check`) or execute it; of several processes the first answers."""
    from vidsemi.runtime.distributed import done_by_first, first_before_others, process_group, processes

    with process_group():
        with first_before_others():
            config = load()
        if options.check:
            answer = done_by_first(lambda: check(config))
        else:
            rows = execute(config)
            answer = done_by_first(lambda: _write_report(Path(config.output), rows))
        return answer if processes().first else None


def _write_report(output: Path, rows: list[dict[str, Any]]) -> Answer:
    if not rows:
        return {"output": str(output), "results": []}, f"{output}: no network has been evaluated yet"
    from vidsemi.reporting.write import write_report

    written = write_report([output], output)
    return {"output": str(output), "results": rows}, f"{written.text}\n{output / 'report.html'}"
