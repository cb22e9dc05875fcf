"""Trained networks and targets → the stages that transfer them, and their rows of results.json.

Planning needs no torch.

full_ft:  network ──train──▶ network with a new head ──evaluate──▶ accuracy
fc_only:  network ──features──▶ features of all splits ──regress──▶ accuracy
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsemi.config import Input, Log, Network, Runtime
from vidsemi.config.transfer import Protocol
from vidsemi.pipeline.results import is_transfer
from vidsemi.pipeline.stage import Stage, figures_of
from vidsemi.pipeline.steps import WEIGHTS, clear_checkpoints
from vidsemi.pipeline.targets import LoadedTarget

KIND = "transfer"
MEANS = ("top1", "top5", "mean_class_top1")  # what becomes of the figures of several splits
SUMS = ("read", "total", "train_read", "train_total")
LISTS = ("c", "held_out", "held_out_top1")  # one a split
COSTS = ("views", "gmacs_per_view", "gmacs_per_video", "parameters")  # of the first with most views; classes may differ


@dataclass(frozen=True)
class Learnt:
    """A network that is transferred.

    Attributes:
        student: its name in the results.
        approach: how it was trained.
        seed: of its training, and of all that is drawn in the transfer.
        folder: for the stages, under the output.
        network: how it is built.
        input: what it takes in, where the network does not say so itself, and how clips are flipped.
        weights: file under the output, or anywhere by a path of its own.
        trained: the stage that leaves the weights; None if they are there already.
        identity: what they are known by then.
    """

    student: str
    approach: str
    seed: int
    folder: str
    network: Network
    input: Input
    weights: str
    trained: Stage | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def after(self) -> tuple[Stage, ...]:
        """The stages that make it."""
        return (self.trained,) if self.trained else ()


@dataclass(frozen=True)
class Transfer:
    """The stages, one a split, that end in a row of results.json, and what the row says of them."""

    stages: tuple[Stage, ...]
    learnt: Learnt
    target: str
    protocol: Protocol

    @property
    def key(self) -> tuple[Any, ...]:
        """What no two rows have in common."""
        return self.learnt.student, self.learnt.approach, self.learnt.seed, self.target, self.protocol


class Transfers:
    """Makes the stages of transfers.

    Args:
        output: directory of the run.
        targets: to transfer to.
        runtime: what to run on.
        log: what trainings are logged to.
        add: puts a stage into the plan; returns it, or the one that does the same already.
    """

    def __init__(
        self,
        output: Path,
        targets: Sequence[LoadedTarget],
        runtime: Runtime,
        log: Log,
        add: Callable[[Stage], Stage],
    ):
        self.output, self.targets, self.runtime, self.log, self.add = output, targets, runtime, log, add

    def plan(self, learnt: Learnt) -> list[Transfer]:
        """All that happens to one network: every target by each of its protocols."""
        make = {"full_ft": self._full_ft, "fc_only": self._fc_only}
        return [
            Transfer(make[protocol](learnt, loaded), learnt, loaded.target.name, protocol)
            for loaded in self.targets
            for protocol in loaded.target.protocols
        ]

    def _full_ft(self, learnt: Learnt, loaded: LoadedTarget) -> tuple[Stage, ...]:
        """A training and a test for each split."""
        return tuple(self._train_and_evaluate(learnt, loaded, number) for number in range(len(loaded.splits)))

    def _train_and_evaluate(self, learnt: Learnt, loaded: LoadedTarget, number: int) -> Stage:
        target, split, identity = loaded.target, loaded.splits[number], loaded.identities[number]
        recipe, folder = target.full_ft, _folder(learnt, loaded, "full_ft", number)
        assert recipe is not None  # the config asks for it

        def train(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.training.train import labeled_lesson, train_stage

            return train_stage(
                stage_folder,
                labeled_lesson(split),
                network=learnt.network,
                input=learnt.input,
                recipe=recipe,
                seed=learnt.seed,
                runtime=self.runtime,
                log=self.log,
                title=f"{folder}/train",
                init_from=str(self.output / learnt.weights),
            )

        settings = {
            **learnt.identity,
            "labeled": identity["train"],
            "recipe": recipe.model_dump(),
            "hflip_prob": learnt.input.hflip_prob,
            "random_resized_crop_scale": learnt.input.random_resized_crop_scale,
            "seed": learnt.seed,
        }
        trained = self.add(
            Stage(f"{folder}/train", KIND, settings, learnt.after, train, together=True, clear=clear_checkpoints)
        )

        def evaluate(_: Path) -> dict[str, Any]:
            from vidsemi.inference.evaluate import evaluate_weights

            return evaluate_weights(
                weights=self.output / trained.name / WEIGHTS,
                manifest=split.test,
                views=target.views,
                runtime=self.runtime,
                title=f"{folder}/evaluate",
            )

        tested = {"test": identity["test"], "views": target.views}
        return self.add(Stage(f"{folder}/evaluate", KIND, tested, (trained,), evaluate, together=True))

    def _fc_only(self, learnt: Learnt, loaded: LoadedTarget) -> tuple[Stage, ...]:
        """The features of all splits together, and a regressor for each split."""
        target, weights = loaded.target, self.output / learnt.weights
        name = f"{_folder(learnt, loaded, 'fc_only')}/features"

        def extract(folder: Path) -> dict[str, Any]:
            from vidsemi.inference.features import extract_features, manifests_of

            return extract_features(
                folder,
                weights=weights,
                manifests=manifests_of(loaded.splits),
                views=target.views,
                runtime=self.runtime,
                title=name,
            )

        settings = {**learnt.identity, "splits": loaded.identities, "views": target.views}
        features = self.add(Stage(name, KIND, settings, learnt.after, extract, together=True))
        return tuple(self._regress(learnt, loaded, features, number, weights) for number in range(len(loaded.splits)))

    def _regress(self, learnt: Learnt, loaded: LoadedTarget, features: Stage, number: int, weights: Path) -> Stage:
        target = loaded.target
        name = f"{_folder(learnt, loaded, 'fc_only', number)}/regress"

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.training.regress import regress_stage

            extracted = figures_of(self.output, features)
            assert extracted is not None  # stages run in order
            return regress_stage(
                folder,
                weights=weights,
                features=self.output / features.name,
                splits=loaded.splits,
                number=number,
                fc_only=target.fc_only,
                views=extracted["views"],
                seed=learnt.seed,
                title=name,
            )

        settings = {
            "split": loaded.identities[number],
            "fc_only": target.fc_only.model_dump(mode="json"),
            "seed": learnt.seed,
        }
        return self.add(Stage(name, KIND, settings, (features,), run, together=False))


def _folder(learnt: Learnt, loaded: LoadedTarget, protocol: Protocol, number: int | None = None) -> str:
    split = f"/split{number + 1}" if number is not None and len(loaded.splits) > 1 else ""
    return f"{learnt.folder}/transfer/{loaded.target.name}/{protocol}{split}"


def transfer_rows(output: Path, transfers: Sequence[Transfer], before: Iterable[Mapping[str, Any]]) -> list[Any]:
    """A row for each transfer of a plan that is done, then those of other plans whose weights are still there.

    Args:
        output: directory of the run.
        transfers: of the plan.
        before: rows of results.json as it is.
    """
    rows: list[Any] = []
    for transfer in transfers:
        splits = [figures_of(output, stage) for stage in transfer.stages]
        figures = [own for own in splits if own is not None]
        if len(figures) == len(splits):
            learnt = transfer.learnt
            who = {"student": learnt.student, "approach": learnt.approach, "seed": learnt.seed}
            what = {"transfer": transfer.target, "protocol": transfer.protocol}
            rows.append({**who, **what, **over_splits(figures), "weights": learnt.weights})
    planned = {transfer.key for transfer in transfers}
    return rows + [
        row
        for row in before
        if is_transfer(row)
        and (row["student"], row["approach"], row["seed"], row["transfer"], row["protocol"]) not in planned
        and (output / str(row.get("weights"))).is_file()
    ]


def over_splits(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the splits as those of one: accuracies are means, examples sums, the regressors lists."""
    if len(figures) == 1:
        return dict(figures[0])
    alike = {key: value for key, value in figures[0].items() if all(own.get(key) == value for own in figures)}
    dearest = max(figures, key=lambda own: own["views"])
    rows: dict[str, Any] = {**alike, **{key: dearest[key] for key in COSTS}}
    rows |= {key: sum(own[key] for own in figures) / len(figures) for key in MEANS}
    rows |= {key: sum(own[key] for own in figures) for key in SUMS if key in figures[0]}
    rows |= {key: [own[key] for own in figures] for key in LISTS if key in figures[0]}
    if "converged" in figures[0]:
        rows["converged"] = all(own["converged"] for own in figures)
    return {**rows, "splits": [own["top1"] for own in figures]}
