"""`vidsemi report`, and `vidsemi browse` for a selection alone."""

import argparse
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_device_arguments, add_root_argument, integer, place
from vidsemi.io.store import parse_place


def add_parsers(subparsers: Any) -> None:
    """Add `report` and `browse`."""
    parser = add_command(subparsers, "report", report, "report accuracy beside FLOPs and speed of one or more runs")
    parser.add_argument("runs", nargs="+", type=place, metavar="RUN", help="output directory of a run, or its address")
    parser.add_argument("--output", type=place, help="where the report goes; default: the run's own directory")
    parser.add_argument("--paper", action="store_true", help="add the rows of the paper's Tables 7 and 8")
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="do not time the networks here")
    parser.add_argument(
        "--previews",
        type=integer(0, 100),
        metavar="N",
        help="examples of each class to show; default: 4, as many as can be made in a minute",
    )
    add_device_arguments(parser)

    parser = add_command(subparsers, "browse", browse, "show examples of each class of a selection on an HTML page")
    parser.add_argument("selection", type=place, metavar="SELECTION", help="selection.parquet, or its address")
    parser.add_argument("--output", type=place, metavar="FILE", help="page to write; default: SELECTION with .html")
    parser.add_argument(
        "--manifest",
        type=parse_place,
        nargs="+",
        metavar="FILE",
        help="examples that were scored, unless SELECTION is in a run's directory; several: in the order of --scores",
    )
    add_root_argument(parser)
    parser.add_argument(
        "--scores",
        type=parse_place,
        nargs="+",
        metavar="DIR",
        help="scores, for the examples that were just not selected",
    )
    parser.add_argument(
        "--previews",
        type=integer(1, 100),
        default=4,
        metavar="N",
        help="examples of each class to show (default: %(default)s)",
    )
    parser.add_argument("--workers", type=integer(0, 1024), help="decoding processes; default: one per core")


def report(options: argparse.Namespace) -> Answer:
    """Write the report of one or more runs."""
    from vidsemi.api.report import report

    written = report(
        options.runs,
        options.output,
        paper=options.paper,
        speed=options.speed,
        previews=options.previews,
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


def browse(options: argparse.Namespace) -> Answer:
    """Write the page of a selection."""
    from vidsemi.api.browse import browse

    page = browse(
        options.selection,
        options.output,
        manifest=options.manifest,
        root=options.root,
        scores=options.scores,
        previews=options.previews,
        workers=options.workers,
    )
    return {"page": str(page)}, str(page)
