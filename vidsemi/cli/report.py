"""`vidsemi report`."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_device_arguments


def add_parsers(subparsers: Any) -> None:
    """Add `report`."""
    parser = add_command(subparsers, "report", report, "report accuracy beside FLOPs and speed of one or more runs")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output directory of a run")
    parser.add_argument("--output", type=Path, help="where the report goes; default: the run's own directory")
    parser.add_argument("--paper", action="store_true", help="add the rows of the paper's Tables 7 and 8")
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="do not time the networks here")
    add_device_arguments(parser)


def report(options: argparse.Namespace) -> Answer:
    """Write the report of one or more runs."""
    from vidsemi.api.report import report

    written = report(
        options.runs,
        options.output,
        paper=options.paper,
        speed=options.speed,
        device=options.device,
        clips_per_forward=options.clips_per_forward,
    )
    rows = [
        {"run": str(folder), **row}
        for folder, run in zip(options.runs, written.runs, strict=True)
        for row in (*run.rows, *run.transfer_rows)
    ]
    document = {"output": str(written.output), "results": rows, **written.document}
    return document, f"{written.text}\n{written.output / 'report.html'}"
