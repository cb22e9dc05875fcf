"""A config → the stages of the method, for every seed, student and approach. Planning runs nothing and needs no torch.

    D ──▶ teacher ──score U──▶ scores ──select──▶ D̂ ──pretrain──▶ student ──finetune on D──▶ evaluate
    D ──▶ student (supervised, the baseline) ──▶ evaluate

What two students or approaches have in common (teacher, scores, selection, or a teacher that is the student's own
network trained alike) is one stage and is made once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vidsemi.config import Approach, Config, Network, Recipe, Student
from vidsemi.run_directory import Stage, begun_stages
from vidsemi.stages.corpora import Corpora

KINDS = ("teacher", "score", "select", "supervised", "pretrain", "finetune", "evaluate")  # the order of `--until`
SELECTION = "selection.parquet"


@dataclass(frozen=True)
class Evaluation:
    """A stage that ends in a row of results.json, and what the row says of it."""

    stage: Stage
    student: str
    approach: str
    seed: int
    weights: str


@dataclass(frozen=True)
class Plan:
    """The corpora of a run, all its stages in an order in which they can be run, and the evaluations among them."""

    corpora: Corpora
    stages: list[Stage]
    evaluations: list[Evaluation]


def network_key(network: Network) -> str:
    """What a network of the config is known by in `Planner.found`."""
    return network.model_dump_json(include=set(Network.model_fields))


class Planner:
    """Builds the stages of one run.

    Args:
        config: of the run.
        corpora: that it names.
        found: what a look at its networks has told that the config does not say, by `network_key`: the content of
            the weights that one begins with, the input that its zoo wants.
    """

    def __init__(self, config: Config, corpora: Corpora, found: Mapping[str, dict] = MappingProxyType({})):
        self.config, self.corpora, self.output = config, corpora, Path(config.output)
        self.stages: list[Stage] = []
        self.evaluations: list[Evaluation] = []
        self.begun = begun_stages(self.output)
        self.found = found

    def plan(self) -> Plan:
        """All stages, each after those that it reads."""
        for seed in self.config.seeds:
            selection = None
            if self.config.has_teacher:
                selection = self._teach(seed)
            for student in self.config.students:
                for approach in self.config.approaches_of(student):
                    label = self._label(student, approach)
                    folder = f"seed{seed}/{student.name}/{label}"
                    if approach == "supervised":
                        recipe = self.config.train.supervised
                        last = self._train(f"{folder}/train", "supervised", student, recipe, seed)
                    else:
                        assert selection and self.config.train.pretrain and self.config.train.finetune
                        first = self._train(
                            f"{folder}/pretrain", "pretrain", student, self.config.train.pretrain, seed, selection
                        )
                        last = self._train(
                            f"{folder}/finetune", "finetune", student, self.config.train.finetune, seed, init=first
                        )
                    self._evaluate(folder, last, student.name, label, seed)
        return Plan(self.corpora, self.stages, self.evaluations)

    def _label(self, student: Student, approach: Approach) -> str:
        """What results call an approach, where hashtags have taught the weights that it begins with."""
        if approach == "supervised":
            return "weakly_supervised" if student.weakly_pretrained else approach
        assert self.config.teacher
        hashtags = self.config.teacher.weakly_pretrained or student.weakly_pretrained
        return "semi_weakly_supervised" if hashtags else approach

    def _teach(self, seed: int) -> Stage:
        """Teacher, its test, its scores of U, the selection; returns the selection."""
        config, teacher, unlabeled = self.config, self.config.teacher, self.corpora.unlabeled
        assert teacher and unlabeled
        folder = f"seed{seed}/teacher"
        if teacher.trained:
            trained = self._adopt("teacher")
        else:
            recipe = teacher.train or config.train.supervised
            trained = self._train(f"{folder}/train", "teacher", teacher, recipe, seed)
        if not teacher.trained or seed == config.seeds[0]:  # one that is the same for all seeds has no spread
            self._evaluate(folder, trained, "teacher", "teacher", seed)
        score: dict[str, Any] = {
            "views": config.score.views,
            "per_example": min(config.score.per_example or config.select.per_example, len(self.corpora.classes)),
            "shard_size": config.score.shard_size,
            "precision": config.score.precision,
        }

        def run_score(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.stages.score import score_stage

            weights = self.output / trained.name / "weights.pt"
            return score_stage(
                stage_folder,
                weights=weights,
                manifest=unlabeled,
                machine=config.machine,
                title=f"{folder}/score",
                **score,
            )

        scored = self._add(
            f"{folder}/score", "score", {"unlabeled": self._identity("unlabeled"), **score}, (trained,), run_score
        )

        select = config.select.model_dump()
        if config.select.policy in ("random", "balanced_with_tags"):
            select["seed"] = seed

        def run_select(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.stages.select import select_stage

            return select_stage(
                stage_folder / SELECTION,
                scores=self.output / scored.name,
                manifest=unlabeled,
                title=f"{folder}/select",
                **select,
            )

        return self._add(f"{folder}/select", "select", select, (scored,), run_select)

    def _train(
        self,
        name: str,
        kind: str,
        network: Network,
        recipe: Recipe,
        seed: int,
        selection: Stage | None = None,
        init: Stage | None = None,
    ) -> Stage:
        """A training on D̂ where there is a selection, else on D; from the weights of `init` or fresh ones."""
        config, corpora = self.config, self.corpora

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.stages.train import labeled_lesson, selected_lesson, train_stage

            if selection is None:
                lesson = labeled_lesson(corpora)
            else:
                lesson = selected_lesson(corpora, self.output / selection.name / SELECTION)
            return train_stage(
                folder,
                lesson,
                network=network,
                input=config.input,
                classes=corpora.classes,
                recipe=recipe,
                seed=seed,
                machine=config.machine,
                title=name,
                init_from=str(self.output / init.name / "weights.pt") if init else network.init_from,
            )

        settings = {
            **self._identity_of(network, with_weights=init is None),
            "recipe": recipe.model_dump(),
            "seed": seed,
            "labeled": self._identity("labeled"),
        }
        return self._add(name, kind, settings, tuple(stage for stage in (selection, init) if stage), run)

    def _adopt(self, folder: str) -> Stage:
        """The teacher as it is, the same for every seed."""
        config, corpora, teacher = self.config, self.corpora, self.config.teacher
        assert teacher and teacher.init_from

        def run(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.stages.networks import adopt, ready_spec

            spec = ready_spec(teacher, config.input, corpora.classes)
            return adopt(stage_folder / "weights.pt", spec, str(teacher.init_from))

        settings = {**self._identity_of(teacher), "classes": corpora.classes}
        return self._add(f"{folder}/weights", "teacher", settings, (), run)

    def _identity_of(self, network: Network, with_weights: bool = True) -> dict[str, Any]:
        """What a network is known by: all that it is built from and fed with, and the weights it begins with."""
        settings: dict[str, Any] = {
            "network": network.model_dump(include={"model", "frames", "args"}),
            "input": self.config.input.model_dump(mode="json"),
        }
        if own := network.input.model_dump(mode="json", exclude_none=True):
            settings["own_input"] = own
        settings["network"]["args"] = {  # 1 and 1.0 are one width
            name: float(value) if type(value) is int else value for name, value in network.args.items()
        }
        found = self.found.get(network_key(network), {})
        return settings | {key: value for key, value in found.items() if with_weights or key != "init_from"}

    def _evaluate(self, folder: str, trained: Stage, student: str, approach: str, seed: int) -> None:
        config, manifest = self.config, self.corpora.test
        weights = f"{trained.name}/weights.pt"

        def run(_: Path) -> dict[str, Any]:
            from vidsemi.stages.evaluate import evaluate_stage

            return evaluate_stage(
                weights=self.output / weights,
                manifest=manifest,
                views=config.evaluate.views,
                machine=config.machine,
                title=f"{folder}/evaluate",
            )

        settings = {"test": self._identity("test"), "views": config.evaluate.views}
        stage = self._add(f"{folder}/evaluate", "evaluate", settings, (trained,), run)
        self.evaluations.append(Evaluation(stage, student, approach, seed, weights))

    def _identity(self, name: str) -> str:
        """What a corpus is known by: the content of its manifest, and the root where the config gives one."""
        source, manifest = getattr(self.config.data, name), self.corpora.by_name()[name]
        assert manifest
        return f"{manifest.fingerprint} under {source.root}" if source.root else manifest.fingerprint

    def _add(self, name: str, kind: str, settings: dict, after: tuple[Stage, ...], run: Any) -> Stage:
        """Add a stage; one that would do what another does, here or in the directory, is that other one."""
        stage = Stage(name, kind, settings, after, run)
        if self.begun.get(stage.fingerprint, name) != name:
            stage = replace(stage, name=self.begun[stage.fingerprint])
        shared = next((known for known in self.stages if known.fingerprint == stage.fingerprint), None)
        if shared is None:
            self.stages.append(stage)
        return shared or stage
