"""Commands for a run and its results: run, report."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_config_arguments, add_device_arguments
from vidsemi.io.errors import UserError


def add_parsers(subparsers: Any) -> None:
    """Add `run` and `report`."""
    parser = add_command(subparsers, "run", run, "run every stage of a config that is not done yet")
    add_config_arguments(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this kind of stage, e.g. select")

    parser = add_command(subparsers, "report", report, "report accuracy beside FLOPs and speed of one or more runs")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output directory of a run")
    parser.add_argument("--output", type=Path, help="where the report goes; default: the run's own directory")
    parser.add_argument("--paper", action="store_true", help="with the rows of the paper's Table 7, on Kinetics-400")
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="do not time the networks here")
    add_device_arguments(parser)


def run(options: argparse.Namespace) -> Answer | None:
    """Every stage of a config that is not done yet, then the report; of several processes the first one answers."""
    from vidsemi.config.load import load_config
    from vidsemi.pipeline import run as pipeline
    from vidsemi.pipeline.plan import KINDS
    from vidsemi.runtime.distributed import done_by_first, first_before_others, process_group, processes

    with process_group():
        with first_before_others():
            config = load_config(options.cfg, options.overrides)
            if options.until and options.until not in KINDS:
                raise UserError(f"--until {options.until}: there is no such stage; they are: {', '.join(KINDS)}")
        if options.check:
            answer = done_by_first(lambda: pipeline.check(config))
        else:
            rows = pipeline.run(config, options.until)
            answer = done_by_first(lambda: _reported(config.output, rows, options.until))
        return answer if processes().first else None


def _reported(output: str, rows: list[dict[str, Any]], until: str | None) -> Answer:
    """What a run answers, once its report is written."""
    if not rows:
        return {"output": output, "results": []}, f"{output}: done until {until}"
    from vidsemi.report.write import write_report

    written = write_report([Path(output)], Path(output))
    return {"output": output, "results": rows}, f"{written.table}\n{Path(output) / 'report.html'}"


def report(options: argparse.Namespace) -> Answer:
    """The report of one or more runs."""
    if options.output is None and len(options.runs) > 1:
        raise UserError("a report over several runs needs --output")
    if len({run.resolve() for run in options.runs}) < len(options.runs):
        raise UserError("a run is named twice; its seeds would count twice")
    from vidsemi.config import Runtime
    from vidsemi.pipeline.results import read_results
    from vidsemi.report.write import write_report

    output = options.output or options.runs[0]
    runtime = None
    if options.speed:
        runtime = Runtime(device=options.device, clips_per_forward=options.clips_per_forward)
    written = write_report(options.runs, output, runtime=runtime, paper=options.paper)
    rows = [{"run": str(run), **row} for run in options.runs for row in read_results(run)]
    document = {"output": str(output), "results": rows, **written.document}
    return document, f"{written.table}\n{output / 'report.html'}"
