"""The entry points of the pipeline: resolve a config, plan its stages, execute them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidsemi.config import Config, TransferConfig
from vidsemi.pipeline.execute import check_plan, describe, execute
from vidsemi.pipeline.feasibility import check_run, check_targets
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import prepare_data, resolve, resolve_transfer
from vidsemi.pipeline.transfer import plan_transfer
from vidsemi.runtime.distributed import first_before_others, processes

logger = logging.getLogger("vidsemi")


def run(config: Config, until: str | None = None) -> list[dict[str, Any]]:
    """Run every stage of a config that is not done; returns the rows of results.json, in all processes.

    Stages of kinds after `until`, one of `plan.KINDS`, are left out.

    Raises:
        UserError: as `resolve`, `check_run` and `check_plan` do, or a stage fails for a reason that the user can mend.
    """
    with first_before_others():  # the others find the data there, and plan before the first changes the directory
        prepare_data(config)
        resolved = resolve(config)
        if processes().first:
            _warn(check_run(resolved))
        plan = plan_run(resolved)
        check_plan(plan)
    return execute(plan, until)


def check(config: Config) -> tuple[dict[str, Any], str]:
    """Validate a config, its data and its output without running anything: a JSON document, and the same as text."""
    resolved = resolve(config)
    return describe(plan_run(resolved), check_run(resolved))


def transfer(weights: Path, config: TransferConfig) -> list[dict[str, Any]]:
    """Transfer a trained network; otherwise as `run`."""
    with first_before_others():
        resolved = resolve_transfer(weights, config)
        if processes().first:
            _warn(check_targets(resolved.targets, {}))
        plan = plan_transfer(resolved)
        check_plan(plan)
    return execute(plan)


def check_transfer(weights: Path, config: TransferConfig) -> tuple[dict[str, Any], str]:
    """Validate a transfer without running anything, as `check` does a run."""
    resolved = resolve_transfer(weights, config)
    return describe(plan_transfer(resolved), check_targets(resolved.targets, {}))


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)
