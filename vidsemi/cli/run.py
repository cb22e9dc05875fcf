"""`vidsemi run`."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_config_arguments
from vidsemi.io.errors import UserError


def add_parsers(subparsers: Any) -> None:
    """Add `run`."""
    parser = add_command(subparsers, "run", run, "run every stage of a config that is not done yet")
    add_config_arguments(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this kind of stage, e.g. select")


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
    return {"output": output, "results": rows}, f"{written.text}\n{Path(output) / 'report.html'}"
