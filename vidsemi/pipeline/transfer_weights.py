"""`vidsemi transfer`: weights that are there already are transferred to targets, in a directory like a run's."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidsemi.config import Input, Network, OwnInput, Recipe, TransferConfig
from vidsemi.data.dedup.checks import Check, describe_checks, write_checks
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_file, write_json
from vidsemi.pipeline.results import is_transfer, read_results
from vidsemi.pipeline.stage import Stage, is_done, locked, run_stage
from vidsemi.pipeline.targets import (
    LoadedTarget,
    duplicates_of_targets,
    load_targets,
    target_lines,
    with_earlier_checks,
)
from vidsemi.pipeline.transfers import Learnt, Transfer, Transfers, transfer_rows
from vidsemi.runtime.distributed import done_by_first, first_before_others
from vidsemi.runtime.launch import started_processes
from vidsemi.training.log import check_log

logger = logging.getLogger("vidsemi")


def transfer(weights: Path, config: TransferConfig) -> list[dict[str, Any]]:
    """Run every stage that is not done yet and write results.json. All processes call this, and get the same.

    Args:
        weights: of the network, a checkpoint of ours.
        config: where to transfer it to.

    Returns:
        The rows of results.json.

    Raises:
        UserError: weights, data or output are not as they should be.
    """
    with first_before_others():
        targets, stages, transfers = _plan(weights, config)
    output = Path(config.output)
    with locked(output):
        done_by_first(
            lambda: write_checks(output, with_earlier_checks(output, _checks(targets), _rows(output, transfers)))
        )
        for stage in stages:
            run_stage(output, stage)
            done_by_first(lambda: write_json(output / "results.json", _rows(output, transfers)))
        return done_by_first(lambda: _rows(output, transfers))


def check_transfer(weights: Path, config: TransferConfig) -> tuple[dict[str, Any], str]:
    """Look at all that a transfer needs and run nothing; what was found, as a JSON document and as text.

    Raises:
        UserError: as `transfer` does.
    """
    targets, stages, _ = _plan(weights, config)
    states = {stage.name: "done" if is_done(Path(config.output), stage) else "to do" for stage in stages}
    duplicates = _checks(targets)
    said, warnings = describe_checks(duplicates)
    lines = [*(f"{state:5}  {name}" for name, state in states.items()), *target_lines(targets), *said, *warnings]
    document = {"output": config.output, "stages": states, "duplicates": [asdict(check) for check in duplicates]}
    return document, "\n".join(lines)


def _checks(targets: list[LoadedTarget]) -> list[Check]:
    return duplicates_of_targets({}, targets, from_weights=True)


def _plan(weights: Path, config: TransferConfig) -> tuple[list[LoadedTarget], list[Stage], list[Transfer]]:
    """The targets, all stages in order, and the rows that they make, once everything has been looked at."""
    check_log(config.log)
    targets = load_targets(config.transfer)
    from vidsemi.models.build import check_features
    from vidsemi.models.weights_file import load, spec_of
    from vidsemi.runtime.device import pick_device

    pick_device(config.runtime)
    spec = spec_of(load(weights), str(weights))
    if any("fc_only" in target.protocols for target in config.transfer):
        check_features(spec)
    own = {key: value for key, value in asdict(spec.input).items() if key not in ("frames", "decoder")}
    network = Network(model=spec.model, frames=spec.input.frames, args=dict(spec.args), input=OwnInput(**own))
    student = config.student or f"{spec.model.rpartition('/')[2]}_{spec.input.frames}f"
    learnt = Learnt(
        student=student,
        approach=config.approach,
        seed=config.seed,
        folder=f"seed{config.seed}/{student}/{config.approach}",
        network=network,
        input=Input(
            hflip_prob=config.hflip_prob,
            random_resized_crop_scale=config.random_resized_crop_scale,
            decoder=spec.input.decoder,
        ),
        weights=str(weights.resolve()),
        identity={"weights": fingerprint_file(weights)},
    )
    stages: list[Stage] = []

    def add(stage: Stage) -> Stage:
        stages.append(stage)
        return stage

    output = Path(config.output)
    transfers = Transfers(output, targets, config.runtime, config.log, add).plan(learnt)
    for stage in stages:
        if not is_done(output, stage) and (recipe := stage.settings.get("recipe")):
            try:
                Recipe(**recipe).micro_batches_for(started_processes())
            except ValueError as error:
                raise UserError(f"{stage.name}: {error}") from None
    return targets, stages, transfers


def _rows(output: Path, transfers: list[Transfer]) -> list[dict[str, Any]]:
    """The rows that are there of other weights, and those of these."""
    before = read_results(output) if (output / "results.json").exists() else []
    return [row for row in before if not is_transfer(row)] + transfer_rows(output, transfers, before)
