"""A plan → its results: run the stages that are not done, and keep results.json up to date."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from vidsemi.data.dedup.checks import describe_checks, read_checks, write_checks
from vidsemi.io.errors import UserError
from vidsemi.pipeline.board import Board
from vidsemi.pipeline.changes import Changes, find_changes, remove_stale, take_over
from vidsemi.pipeline.jobs import run_in_jobs
from vidsemi.pipeline.lock import locked
from vidsemi.pipeline.resolve import existing_folder
from vidsemi.pipeline.results import RESULTS, Results, is_transfer, read_results
from vidsemi.pipeline.run_stage import run_stage
from vidsemi.pipeline.stage import KINDS, Plan, Stage
from vidsemi.pipeline.stages import TrainStage, spec_of
from vidsemi.runtime.distributed import done_by_first, processes, started_processes

logger = logging.getLogger("vidsemi")


def execute(
    plan: Plan,
    until: str | None = None,
    *,
    overwrite: Sequence[str] = (),
    reuse: Sequence[Path] = (),
    jobs: int = 1,
    on_progress: Callable[[], object] | None = None,
) -> list[dict[str, Any]]:
    """Run every stage that is not done, and write results.json after each evaluation; returns its rows.

    All processes call this. Stages of kinds after `until`, one of `KINDS`, are left out. Up to `jobs` stages run at
    once, if torchrun started no other processes. `on_progress` is called after each stage once there are results, on
    the first process. For the other arguments see `find_changes`.
    """
    context, last = plan.context, KINDS.index(until) if until else len(KINDS)
    planned = [stage for stage, kind in zip(plan.stages, plan.kinds, strict=True) if KINDS.index(kind) <= last]
    with locked(plan.output):
        changes = Changes(**done_by_first(lambda: asdict(find_changes(plan, overwrite, reuse))))
        done_by_first(lambda: remove_stale(plan, changes))
        done = changes.done
        earlier = done_by_first(lambda: read_results(plan.output) if (plan.output / RESULTS).exists() else [])
        results = Results(plan.output, plan.rows, plan.folders, earlier)
        for stage in plan.stages:
            if stage.fingerprint in done:
                results.add(stage, done[stage.fingerprint])
        done_by_first(lambda: _write_checks(plan, results))
        done_by_first(results.write)

        def finished(stage: Stage, metrics: dict[str, Any]) -> None:
            if results.add(stage, metrics):
                done_by_first(results.write)

        def report() -> None:
            if on_progress and processes().first and results.rows():
                on_progress()

        todo: list[Stage] = []  # for jobs
        names = {context.name(stage): stage.fingerprint in done for stage in planned}
        with Board(plan.output, names, jobs) as board:
            for stage in planned:
                if stage.fingerprint in done:
                    logger.info("%s: already done", context.name(stage))
                    done_by_first(partial(stage.clean_up, context))  # a kill may have prevented it
                elif source := changes.reusable.get(stage.fingerprint):
                    metrics = done_by_first(partial(take_over, stage, context, Path(source)))
                    board.taken_over(context.name(stage))
                    finished(stage, metrics)
                    report()
                elif jobs == 1:
                    with board.running(context.name(stage)):
                        metrics = run_stage(stage, context)
                    finished(stage, metrics)
                    report()
                else:
                    todo.append(stage)
            if todo:
                run_in_jobs(todo, context, jobs, board, finished=finished, meanwhile=report)
        return done_by_first(results.rows)


def check_plan(plan: Plan, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()) -> Changes:
    """What has changed since the output was created; see `find_changes`.

    Raises:
        UserError: as `find_changes` does, or a recipe's steps cannot be divided among the processes, or its network has
            not the module that it names.
    """
    changes = find_changes(plan, overwrite, reuse)
    for stage in plan.stages:
        if isinstance(stage, TrainStage) and changes.state(stage) in ("to do", "again"):
            try:
                stage.recipe.micro_batches_for(started_processes())
            except ValueError as error:
                raise UserError("recipe.micro_batches", f"{plan.context.name(stage)}: {error}") from None
            if stage.recipe.freeze_until:
                from vidsemi.training.optimizer import modules_before

                modules_before(spec_of(stage.network, ["a", "b"]).meta_model, stage.recipe.freeze_until)
    return changes


def describe(plan: Plan, changes: Changes, warnings: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a plan would do, and warnings, as a JSON document and as text."""
    states = {plan.context.name(stage): changes.state(stage) for stage in plan.stages}
    free = shutil.disk_usage(existing_folder(plan.output)).free
    checked, unchecked = describe_checks(plan.checks)
    lines = [
        *(f"{state:5}  {name}" for name, state in states.items()),
        *plan.summary,
        f"{free / 2**30:.1f} GiB free for {plan.output}",
        *checked,
        *unchecked,
        *(f"warning: {warning}" for warning in warnings),
    ]
    document = {
        "output": str(plan.output),
        **plan.sizes,
        "free_bytes": free,
        "duplicates": [asdict(check) for check in plan.checks],
        "warnings": [*warnings],
        "stages": states,
    }
    return document, "\n".join(lines)


def _write_checks(plan: Plan, results: Results) -> None:
    """Write the plan's duplicate checks, and those of other plans whose transfers still have rows."""
    known = {(check.dataset, check.test) for check in plan.checks}
    targets = {row["transfer"] for row in results.rows() if is_transfer(row)}
    kept = [
        check
        for check in read_checks(plan.output) or []
        if check.test.partition(" split ")[0] in targets and (check.dataset, check.test) not in known
    ]
    write_checks(plan.output, [*plan.checks, *kept])
