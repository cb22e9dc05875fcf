"""`plan`: what a run costs, before it is run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.api.arguments import PathArgument, check_count, path_of
from vidsemi.api.run import ConfigArgument, config_of
from vidsemi.config.load import Overrides
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.pipeline import run as pipeline


@dataclass(frozen=True)
class RunCost:
    """What a run costs.

    Args:
        stages: a dictionary for each stage: `seconds`, `limit`, `macs`, `core_seconds`, `device_seconds`, `written` and
            others.
        total: the same of all of them.
        rates: that it was computed with; `rates=` of another plan takes a file of them.
        document: all of this, as JSON values.
        text: a table for a terminal, and what limits.
    """

    stages: list[dict[str, Any]]
    total: dict[str, Any]
    rates: dict[str, Any]
    document: dict[str, Any]
    text: str


def plan(
    config: ConfigArgument,
    overrides: Overrides = (),
    *,
    measure: bool = False,
    rates: PathArgument | None = None,
    device_type: str | None = None,
    devices: int | None = None,
    cores: int | None = None,
    save: bool = False,
    progress: ShowProgress = None,
    **more: Any,
) -> RunCost:
    """Estimate what a run costs: multiply-adds, time, disk, and what limits it. Nothing is run.

    The rates of a machine are measured here, given, or taken from a table of devices; by default for the GPU or
    CPU here.

    Args:
        config: a YAML file, the name of a recipe in configs/, or the content of such a file as a dictionary.
        overrides: other values of keys, as for `run`.
        measure: measure how fast this machine reads the files and computes the networks, which takes under a minute.
        rates: file of rates, YAML, or what `vidsemi plan --json` printed elsewhere.
        device_type: a row of the table: cpu, v100, t4, a10, a100, l4, l40s, h100, h200 or b200.
        devices: number of GPUs; by default those here if the rates are measured, else 1.
        cores: that read files; by default those of this machine.
        save: keep the plan in the run's directory, whose report then holds it against what the stages took.
        progress: True for bars, or a function that takes a `Progress`.
        more: further overrides, such as `output="runs/a"`.

    Returns:
        the cost of each stage and of all.

    Raises:
        UserError: as `run`; the file of rates is invalid, or no file of a dataset can be read.
    """
    given = [name for name, own in (("measure", measure), ("rates", rates), ("device_type", device_type)) if own]
    if len(given) > 1:
        raise UserError("options.invalid", f"{given[0]} and {given[1]} exclude each other: give one source of rates")
    for name, count in (("devices", devices), ("cores", cores)):
        if count is not None:
            check_count(name, count)
    with show_progress(progress):
        document, text = pipeline.plan_cost_of(
            config_of(config, overrides, more),
            measured=measure,
            file=None if rates is None else Path(path_of("rates", rates)),
            device=device_type,
            devices=devices,
            cores=cores,
            save=save,
        )
    return RunCost(document["stages"], document["total"], document["rates"], document, text)
