"""A config → the stages of the method, for every seed, student and approach. Planning runs nothing and needs no torch.

    supervised:              D ──▶ student
    weakly_supervised:       W ──hashtags──▶ student ──finetune on D──▶ student
    semi_supervised:         D ──▶ teacher ──score U──▶ scores ──select──▶ D̂ ──▶ student ──finetune on D──▶ student
    semi_weakly_supervised:  the same, by a teacher that is weakly_supervised

What two students or approaches have in common (the labels of W, a teacher, its scores and selection, or a teacher that
is a student's own network trained alike) is one stage and is made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidsemi.config import Approach, Config, Network, Recipe
from vidsemi.data.hashtags.vocabulary import Vocabulary
from vidsemi.data.run_datasets import Datasets
from vidsemi.pipeline.stage import Stage, begun_stages
from vidsemi.pipeline.steps import WEIGHTS, Steps
from vidsemi.pipeline.targets import LoadedTarget
from vidsemi.pipeline.transfers import Learnt, Transfer, Transfers

KINDS = ("hashtags", "teacher", "score", "select", "supervised", "pretrain", "finetune", "evaluate", "transfer")
# as in `--until`
TEACHERS = {"semi_supervised": "teacher", "semi_weakly_supervised": "weakly_supervised_teacher"}


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
    """The corpora of a run, all its stages in an order in which they can be run, and the results among them."""

    corpora: Datasets
    stages: list[Stage]
    evaluations: list[Evaluation]
    transfers: list[Transfer] = field(default_factory=list)
    targets: Sequence[LoadedTarget] = ()


class Planner:
    """Puts the stages of one run in order.

    Args:
        config: of the run.
        corpora: that it names.
        found: about its networks, see `Steps`.
        space: the labels of hashtags, where any are looked for.
        targets: that students are transferred to.
    """

    def __init__(
        self,
        config: Config,
        corpora: Datasets,
        found: Mapping[str, dict],
        space: Vocabulary | None,
        targets: Sequence[LoadedTarget] = (),
    ):
        self.config, self.corpora = config, corpora
        self.steps = Steps(config, corpora, found, space)
        self.stages: list[Stage] = []
        self.evaluations: list[Evaluation] = []
        self.begun = begun_stages(Path(config.output))
        self.targets = targets
        self.learnt: list[Learnt] = []

    def plan(self) -> Plan:
        """All stages, each after those that it reads."""
        config, train, steps = self.config, self.config.train, self.steps
        if config.learns_hashtags:
            self._add(steps.hashtags())  # first, since a W without hashtags of the classes would end the run
        for seed in config.seeds:
            selections = {approach: self._teach(seed, approach) for approach in config.taught_by}
            for student in config.students:
                for approach in config.approaches_of(student):
                    folder = f"seed{seed}/{student.name}/{approach}"
                    if approach == "supervised":
                        last = self._learn_labels(folder, approach, student, train.supervised, seed)
                    elif approach == "weakly_supervised":
                        last = self._learn_hashtags(folder, ("pretrain", "finetune"), student, seed)
                    else:
                        assert train.pretrain and train.finetune
                        begin, chosen = self._begin(student), selections[approach]
                        first = self._add(
                            steps.train(f"{folder}/pretrain", "pretrain", student, train.pretrain, seed, begin, chosen)
                        )
                        if config.evaluate.pretrained:
                            self._evaluate(f"{folder}/pretrain", first, student.name, f"{approach}_pretrained", seed)
                        last = self._add(
                            steps.train(f"{folder}/finetune", "finetune", student, train.finetune, seed, first)
                        )
                    self._evaluate(folder, last, student.name, approach, seed)
                    weights = f"{last.name}/{WEIGHTS}"
                    self.learnt.append(
                        Learnt(student.name, approach, seed, folder, student, config.input, weights, last)
                    )
        steps_of = Transfers(Path(config.output), self.targets, config.runtime, config.log, self._add)
        transfers = [transfer for learnt in self.learnt for transfer in steps_of.plan(learnt)]
        return Plan(self.corpora, self.stages, self.evaluations, transfers, self.targets)

    @staticmethod
    def _begin(network: Network) -> str | None:
        """The weights that a network begins with which is to know no hashtags."""
        return None if network.weakly_pretrained else network.init_from

    def _learn_labels(self, folder: str, kind: str, network: Network, recipe: Recipe, seed: int) -> Stage:
        """A network that sees D alone."""
        return self._add(self.steps.train(f"{folder}/train", kind, network, recipe, seed, self._begin(network)))

    def _learn_hashtags(self, folder: str, kinds: tuple[str, str], network: Network, seed: int) -> Stage:
        """A network that is pre-trained on W, or comes so, and fine-tuned on D; `kinds` are those of the two stages."""
        train, steps = self.config.train, self.steps
        assert train.after_hashtags
        first: Stage | str | None = network.init_from
        if not network.weakly_pretrained:
            assert train.weak_pretrain
            labels, name = self._add(steps.hashtags()), f"{folder}/pretrain"
            first = self._add(
                steps.train(name, kinds[0], network, train.weak_pretrain, seed, network.init_from, labels)
            )
        return self._add(steps.train(f"{folder}/finetune", kinds[1], network, train.after_hashtags, seed, first))

    def _teach(self, seed: int, approach: Approach) -> Stage:
        """The teacher of an approach, its test, its scores of U, the selection; returns the selection."""
        config, teacher = self.config, self.config.teacher
        assert teacher is not None
        name = TEACHERS[approach]
        folder = f"seed{seed}/{name}"
        if teacher.frozen:
            trained = self._add(self.steps.adopt("teacher/weights"))
        elif approach == "semi_supervised":
            trained = self._learn_labels(folder, "teacher", teacher, teacher.train or config.train.supervised, seed)
        else:
            trained = self._learn_hashtags(folder, ("teacher", "teacher"), teacher, seed)
        if not teacher.frozen or seed == config.seeds[0]:  # one that is the same for all seeds has no spread
            self._evaluate(folder, trained, "teacher", name, seed)
        scored = self._add(self.steps.score(f"{folder}/score", trained))
        return self._add(self.steps.select(f"{folder}/select", scored, seed))

    def _evaluate(self, folder: str, trained: Stage, student: str, approach: str, seed: int) -> None:
        """The test of a network, which is a row of results.json."""
        stage = self._add(self.steps.evaluate(f"{folder}/evaluate", trained))
        self.evaluations.append(Evaluation(stage, student, approach, seed, f"{trained.name}/{WEIGHTS}"))

    def _add(self, stage: Stage) -> Stage:
        """Add a stage; one that would do what another does, here or in the directory, is that other one."""
        if self.begun.get(stage.fingerprint, stage.name) != stage.name:
            stage = replace(stage, name=self.begun[stage.fingerprint])
        shared = next((known for known in self.stages if known.fingerprint == stage.fingerprint), None)
        if shared is None:
            self.stages.append(stage)
        return shared or stage
