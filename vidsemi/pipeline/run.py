"""The entry points of the pipeline: resolve a config, plan its stages, execute them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidsemi.config import Config, TransferConfig
from vidsemi.config.load import expand_variants
from vidsemi.pipeline.cost.estimate import estimate, total_of
from vidsemi.pipeline.cost.plan import plan_cost, plan_document, plan_text, summary, write_plan
from vidsemi.pipeline.execute import check_plan, describe, execute
from vidsemi.pipeline.feasibility import check_run, check_starts, check_targets
from vidsemi.pipeline.resolve import Resolved, prepare_data, resolve, resolve_transfer
from vidsemi.pipeline.transfer import plan_transfer
from vidsemi.pipeline.variants import plan_variants
from vidsemi.runtime.distributed import first_before_others, processes

logger = logging.getLogger("vidsemi")


def run(
    config: Config,
    until: str | None = None,
    *,
    overwrite: Sequence[str] = (),
    reuse: Sequence[Path] = (),
    jobs: int = 1,
    on_progress: Callable[[], object] | None = None,
) -> list[dict[str, Any]]:
    """Run every stage of a config that is not done; returns the rows of results.json, in all processes.

    Args:
        config: of the run.
        until: leave out stages of kinds after this one, one of `stage.KINDS`.
        overwrite: kinds of stages that may be deleted and run again if the config has changed, with all that follows.
        reuse: outputs of other runs, whose stages are taken over where they are equal.
        jobs: stages that may run at once, each in a process of its own.
        on_progress: called after each stage once there are results.

    Raises:
        UserError: as `resolve`, `check_run` and `check_plan` do, or a stage fails for a reason that the user can mend.
    """
    with first_before_others():  # the others find the data there, and plan before the first changes the directory
        resolved = _resolve_variants(config, prepare=True)
        if processes().first:
            _warn(_check_variants(resolved))
        plan = plan_variants(resolved, _varied(config))
        if processes().first:
            _warn(check_starts(plan))
        check_plan(plan, overwrite, reuse)
    return execute(plan, until, overwrite=overwrite, reuse=reuse, jobs=jobs, on_progress=on_progress)


def check(config: Config, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()) -> tuple[dict[str, Any], str]:
    """Validate a config, its data and its output without running anything: a JSON document, and the same as text."""
    resolved = _resolve_variants(config)
    plan = plan_variants(resolved, _varied(config))
    changes = check_plan(plan, overwrite, reuse)
    document, text = describe(plan, changes, [*_check_variants(resolved), *check_starts(plan)])
    left = {plan.context.name(stage) for stage in plan.stages if changes.state(stage) in ("to do", "again")}
    work, rates, machine, source = plan_cost(config, plan)
    total = total_of(estimate([own for own in work if own.name in left], rates, machine))
    lines = [f"to do: {line}" for line in summary(total, rates, machine, source)] if left else []
    return {**document, "cost": total.document()}, "\n".join([text, *lines])


def plan_cost_of(config: Config, *, save: bool = False, **options: Any) -> tuple[dict[str, Any], str]:
    """What all stages of a run cost, as a JSON document and as text; options as for `plan_cost`.

    `save` keeps the document in the run's directory.
    """
    plan = plan_variants(_resolve_variants(config), _varied(config))
    work, rates, machine, source = plan_cost(config, plan, **options)
    document = plan_document(work, rates, machine, source)
    if save:
        write_plan(plan.output, document)
    return document, plan_text(work, rates, machine, source)


def transfer(
    weights: Path,
    config: TransferConfig,
    *,
    overwrite: Sequence[str] = (),
    reuse: Sequence[Path] = (),
    jobs: int = 1,
    on_progress: Callable[[], object] | None = None,
) -> list[dict[str, Any]]:
    """Transfer a trained network; otherwise as `run`."""
    with first_before_others():
        resolved = resolve_transfer(weights, config)
        if processes().first:
            _warn(check_targets(resolved.targets, {}))
        plan = plan_transfer(resolved)
        check_plan(plan, overwrite, reuse)
    return execute(plan, overwrite=overwrite, reuse=reuse, jobs=jobs, on_progress=on_progress)


def check_transfer(
    weights: Path, config: TransferConfig, *, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()
) -> tuple[dict[str, Any], str]:
    """Validate a transfer without running anything, as `check` does a run."""
    resolved = resolve_transfer(weights, config)
    plan = plan_transfer(resolved)
    return describe(plan, check_plan(plan, overwrite, reuse), check_targets(resolved.targets, {}))


def _resolve_variants(config: Config, *, prepare: bool = False) -> dict[str, Resolved]:
    """Resolve each variant of a config by its name; prepare its data first if so wanted."""
    configs = expand_variants(config)
    for own in configs.values() if prepare else ():
        prepare_data(own)
    return {name: resolve(own) for name, own in configs.items()}


def _varied(config: Config) -> str:
    return config.variants.varied if config.variants else ""


def _check_variants(resolved: Mapping[str, Resolved]) -> list[str]:
    """The warnings of all variants, each once."""
    return [*dict.fromkeys(warning for own in resolved.values() for warning in check_run(own))]


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)
