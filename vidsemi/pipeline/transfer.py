"""Transfer of trained networks to other datasets: after a run, or by `vidsemi transfer` of weights that exist already.

full_ft:  network ──train──▶ network with a new head ──evaluate──▶ accuracy
fc_only:  network ──features──▶ features of all splits ──linear probe──▶ accuracy
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsemi.config import Input, Protocol, TransferConfig
from vidsemi.pipeline.linear_probe import FeaturesStage, LinearProbeStage
from vidsemi.pipeline.resolve import ResolvedTarget, ResolvedTransfer, describe_targets
from vidsemi.pipeline.stage import Architecture, Plan, PlannedRow, Stage, WeightsFile
from vidsemi.pipeline.stages import EvaluateStage, LabeledExamples, TrainStage

KIND = "transfer"


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network to transfer."""

    student: str  # its name in the results
    approach: str
    seed: int  # of its training, and of all that the transfer draws at random
    folder: str  # of its stages, relative to the output
    architecture: Architecture
    weights: Stage | WeightsFile
    augmentation: Input | TransferConfig  # has the hflip_prob and random_resized_crop_scale of full_ft


def plan_transfers(plan: Plan, network: TrainedNetwork, targets: Sequence[ResolvedTarget]) -> None:
    """Plan the transfer of a network to every target by each of its protocols; each is a row of results.json."""
    protocols = {"full_ft": _plan_full_ft, "fc_only": _plan_fc_only}
    for resolved in targets:
        for protocol in resolved.target.protocols:
            stages = protocols[protocol](plan, network, resolved)
            names = (network.student, network.approach, network.seed)
            tests = tuple(split.test for split in resolved.splits)
            plan.rows.append(PlannedRow(*names, network.weights, stages, tests, resolved.target.name, protocol))


def _plan_full_ft(plan: Plan, network: TrainedNetwork, resolved: ResolvedTarget) -> tuple[Stage, ...]:
    tests = []
    for number, split in enumerate(resolved.splits):
        folder, recipe = _folder(network, resolved, "full_ft", number), resolved.target.full_ft
        assert recipe is not None  # the config requires it for this protocol
        trained = TrainStage(
            training_set=LabeledExamples(split.labeled),
            network=network.architecture,
            hflip_prob=network.augmentation.hflip_prob,
            random_resized_crop_scale=network.augmentation.random_resized_crop_scale,
            recipe=recipe,
            seed=network.seed,
            init_from=network.weights,
        )
        plan.add(trained, f"{folder}/train", KIND)
        test = EvaluateStage(trained, split.test, resolved.target.views)
        tests.append(plan.add(test, f"{folder}/evaluate", KIND))
    return tuple(tests)


def _plan_fc_only(plan: Plan, network: TrainedNetwork, resolved: ResolvedTarget) -> tuple[Stage, ...]:
    """The features of all splits together, and a linear probe of each split."""
    splits = tuple((split.labeled, split.test) for split in resolved.splits)
    features = FeaturesStage(network.weights, splits, resolved.target.views)
    plan.add(features, f"{_folder(network, resolved, 'fc_only')}/features", KIND)
    probes = []
    for number in range(len(splits)):
        probe = LinearProbeStage(features, number, resolved.target.fc_only, network.seed)
        probes.append(plan.add(probe, f"{_folder(network, resolved, 'fc_only', number)}/linear_probe", KIND))
    return tuple(probes)


def _folder(network: TrainedNetwork, resolved: ResolvedTarget, protocol: Protocol, number: int | None = None) -> str:
    split = f"/split{number + 1}" if number is not None and len(resolved.splits) > 1 else ""
    return f"{network.folder}/transfer/{resolved.target.name}/{protocol}{split}"


def plan_transfer(resolved: ResolvedTransfer) -> Plan:
    """Plan the transfer of existing weights."""
    config, spec = resolved.config, resolved.architecture
    student = config.student or f"{spec.model.rpartition('/')[2]}_{spec.input.frames}f"
    plan = Plan(
        output=Path(config.output),
        runtime=config.runtime,
        log=config.log,
        checks=resolved.checks,
        summary=describe_targets(resolved.targets),
        sizes={},
        started=resolved.started,
    )
    folder = f"seed{config.seed}/{student}/{config.approach}"
    names = (student, config.approach, config.seed, folder)
    network = TrainedNetwork(*names, resolved.architecture, resolved.weights, augmentation=config)
    plan_transfers(plan, network, resolved.targets)
    return plan
