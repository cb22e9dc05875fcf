"""`vidsemi report`."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_device_arguments
from vidsemi.io.errors import UserError


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
    if options.output is None and len(options.runs) > 1:
        raise UserError("report.missing_output", "a report of several runs needs --output")
    if len({run.resolve() for run in options.runs}) < len(options.runs):
        raise UserError("report.repeated_run", "a run is named twice; name each run once")
    from vidsemi.config import Runtime
    from vidsemi.reporting.write import write_report

    output = options.output or options.runs[0]
    runtime = Runtime(device=options.device, clips_per_forward=options.clips_per_forward) if options.speed else None
    written = write_report(options.runs, output, runtime=runtime, paper=options.paper)
    rows = [
        {"run": str(folder), **row}
        for folder, run in zip(options.runs, written.runs, strict=True)
        for row in (*run.rows, *run.transfer_rows)
    ]
    document = {"output": str(output), "results": rows, **written.document}
    return document, f"{written.text}\n{output / 'report.html'}"
