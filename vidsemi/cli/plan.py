"""`vidsemi plan`: what a run costs, before it is run."""

import argparse
from typing import Any

from vidsemi.cli.options import Answer, add_command, local, positive_int


def add_parsers(subparsers: Any) -> None:
    """Add `plan`."""
    parser = add_command(
        subparsers, "plan", plan, "estimate what a run costs: time, multiply-adds, disk, what limits it"
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="config; configs/ is searched for a bare name")
    parser.add_argument("--measure", action="store_true", help="measure the rates of this machine, under a minute")
    parser.add_argument("--rates", type=local, metavar="FILE", help="rates, YAML, or the answer of `plan --json`")
    parser.add_argument("--device-type", metavar="NAME", help="row of the table of devices, e.g. a100 (default: cpu)")
    parser.add_argument(
        "--devices", type=positive_int, metavar="N", help="number of GPUs; default: with --measure those here, else 1"
    )
    parser.add_argument("--cores", type=positive_int, metavar="C", help="cores that read; default: those here")
    parser.add_argument("--save", action="store_true", help="keep the plan in the run's directory, for its report")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings that replace the config's")


def plan(options: argparse.Namespace) -> Answer:
    """Print what a run costs."""
    from vidsemi.api.plan import plan

    cost = plan(
        options.cfg,
        options.overrides,
        measure=options.measure,
        rates=options.rates,
        device_type=options.device_type,
        devices=options.devices,
        cores=options.cores,
        save=options.save,
    )
    return cost.document, cost.text
