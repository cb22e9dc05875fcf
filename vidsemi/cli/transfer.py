"""`vidsemi transfer`: a trained network goes to other datasets."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_config_arguments


def add_parsers(subparsers: Any) -> None:
    """Add `transfer`."""
    parser = add_command(subparsers, "transfer", transfer, "measure the accuracy of a network on other datasets")
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    add_config_arguments(parser)


def transfer(options: argparse.Namespace) -> Answer | None:
    """Every stage of a transfer that is not done yet, then the report; of several processes the first one answers."""
    from vidsemi.config.load import load_transfer_config
    from vidsemi.pipeline import run as pipeline
    from vidsemi.runtime.distributed import done_by_first, first_before_others, process_group, processes

    with process_group():
        with first_before_others():
            config = load_transfer_config(options.cfg, options.overrides)
        if options.check:
            answer = done_by_first(lambda: pipeline.check_transfer(options.weights, config))
        else:
            rows = pipeline.transfer(options.weights, config)
            answer = done_by_first(lambda: _reported(Path(config.output), rows))
        return answer if processes().first else None


def _reported(output: Path, rows: list[dict[str, Any]]) -> Answer:
    """What a transfer answers, once its report is written."""
    from vidsemi.report.write import write_report

    written = write_report([output], output)
    return {"output": str(output), "results": rows}, f"{written.text}\n{output / 'report.html'}"
