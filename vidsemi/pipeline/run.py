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


def run(
    config: Config, until: str | None = None, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """Run every stage of a config that is not done; returns the rows of results.json, in all processes.

    Args:
        config: of the run.
        until: leave out stages of kinds after this one, one of `stage.KINDS`.
        overwrite: kinds of stages that may be deleted and run again if the config has changed, with all that follows.
        reuse: outputs of other runs, whose stages are taken over where they are equal.

    Raises:
        UserError: as `resolve`, `check_run` and `check_plan` do, or a stage fails for a reason that the user can mend.
    """
    with first_before_others():  # the others find the data there, and plan before the first changes the directory
        prepare_data(config)
        resolved = resolve(config)
        if processes().first:
            _warn(check_run(resolved))
        plan = plan_run(resolved)
        check_plan(plan, overwrite, reuse)
    return execute(plan, until, overwrite=overwrite, reuse=reuse)


def check(config: Config, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()) -> tuple[dict[str, Any], str]:
    """Validate a config, its data and its output without running anything: a JSON document, and the same as text."""
    resolved = resolve(config)
    plan = plan_run(resolved)
    return describe(plan, check_plan(plan, overwrite, reuse), check_run(resolved))


def transfer(
    weights: Path, config: TransferConfig, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """Transfer a trained network; otherwise as `run`."""
    with first_before_others():
        resolved = resolve_transfer(weights, config)
        if processes().first:
            _warn(check_targets(resolved.targets, {}))
        plan = plan_transfer(resolved)
        check_plan(plan, overwrite, reuse)
    return execute(plan, overwrite=overwrite, reuse=reuse)


def check_transfer(
    weights: Path, config: TransferConfig, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()
) -> tuple[dict[str, Any], str]:
    """Validate a transfer without running anything, as `check` does a run."""
    resolved = resolve_transfer(weights, config)
    plan = plan_transfer(resolved)
    return describe(plan, check_plan(plan, overwrite, reuse), check_targets(resolved.targets, {}))


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)
