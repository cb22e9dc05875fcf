"""How one network is trained by each approach: the stages of its training, and of its test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vidsemi.config import Approach, Recipe
from vidsemi.pipeline.resolve import Resolved, ResolvedNetwork
from vidsemi.pipeline.stage import Plan, PlannedRow, Stage, WeightsFile
from vidsemi.pipeline.stages import (
    EvaluateStage,
    HashtagExamples,
    HashtagsStage,
    LabeledExamples,
    PseudoLabeledExamples,
    SelectStage,
    TrainStage,
)


def plan_hashtags(plan: Plan, resolved: Resolved) -> HashtagsStage:
    """Plan the matching of hashtags, which is the same for all seeds."""
    weak, vocabulary = resolved.datasets.weak, resolved.vocabulary
    assert weak is not None and vocabulary is not None  # `resolve` reads them where hashtags are trained on
    return plan.add(HashtagsStage(weak, vocabulary, resolved.config.hashtags.min_examples), "hashtags", "hashtags")


@dataclass(frozen=True)
class TrainingJob:
    """A network that one approach trains with one seed; its stages are added to the plan."""

    plan: Plan
    resolved: Resolved
    network: ResolvedNetwork
    student: str  # its name in the results
    approach: str  # likewise
    folder: str  # of its stages
    seed: int
    supervised: Recipe | None  # for the labeled set alone
    kinds: Mapping[str, str]  # of its stages, by the last part of their folders
    selection: SelectStage | None = None  # the pseudo-labels, for a student that learns from a teacher

    @property
    def labeled(self) -> LabeledExamples:
        """The labeled set to train on."""
        datasets = self.resolved.datasets
        assert datasets.labeled is not None  # the config requires it for this approach
        held_out = datasets.validation.held_out if datasets.validation else None
        return LabeledExamples(datasets.labeled, self.resolved.config.data.repeat_factor, held_out)

    @property
    def init_weights(self) -> WeightsFile | None:
        """The weights to start from where the network must not have seen hashtags."""
        return None if self.network.weakly_pretrained else self.network.weights

    def plan_training(
        self,
        name: str,
        training_set: LabeledExamples | HashtagExamples | PseudoLabeledExamples,
        recipe: Recipe | None,
        init_from: Stage | WeightsFile | None,
    ) -> TrainStage:
        """Plan a training stage."""
        assert recipe is not None  # the config requires it for this approach
        takes = self.resolved.config.input
        stage = TrainStage(
            training_set=training_set,
            network=self.network.architecture,
            hflip_prob=takes.hflip_prob,
            random_resized_crop_scale=takes.random_resized_crop_scale,
            recipe=recipe,
            seed=self.seed,
            init_from=init_from,
            weakly_pretrained=isinstance(init_from, WeightsFile) and self.network.weakly_pretrained,
            validation=None if isinstance(training_set, HashtagExamples) else self.resolved.datasets.validation,
        )
        return self.plan.add(stage, f"{self.folder}/{name}", self.kinds[name])

    def plan_evaluation(self, network: Stage, *, before_fine_tuning: bool = False) -> None:
        """Plan the test of a network, which is a row of results.json, if there is a test set."""
        test, datasets = self.resolved.config.evaluate, self.resolved.datasets
        if datasets.test is None:
            return
        folder, approach = self.folder, self.approach
        if before_fine_tuning:
            folder, approach = f"{folder}/pretrain", f"{approach}_pretrained"
        stage = EvaluateStage(network, datasets.test, test.views, test.crops, labeled=datasets.labeled)
        self.plan.add(stage, f"{folder}/evaluate", "evaluate")
        self.plan.rows.append(PlannedRow(self.student, approach, self.seed, network, (stage,), (datasets.test,)))


def plan_supervised(job: TrainingJob) -> Stage:
    """Train on the labeled set."""
    return job.plan_training("train", job.labeled, job.supervised, job.init_weights)


def plan_weakly_supervised(job: TrainingJob) -> Stage:
    """Pre-train on hashtags, or start from weights that were; fine-tune on the labeled set."""
    train, weights = job.resolved.config.train, job.network.weights
    pretrained: Stage | WeightsFile | None = weights
    if not job.network.weakly_pretrained:
        hashtags, weak = plan_hashtags(job.plan, job.resolved), job.resolved.datasets.weak
        assert weak is not None
        examples = HashtagExamples(weak, hashtags, job.resolved.config.hashtags.repeat_factor)
        pretrained = job.plan_training("pretrain", examples, train.weak_pretrain, weights)
    return job.plan_training("finetune", job.labeled, train.after_hashtags, pretrained)


def plan_distilled(job: TrainingJob) -> Stage:
    """Train on the teacher's pseudo-labels."""
    train, datasets = job.resolved.config.train, job.resolved.datasets
    assert job.selection is not None and datasets.unlabeled is not None
    examples = PseudoLabeledExamples(datasets.unlabeled, datasets.classes, job.selection)
    return job.plan_training("pretrain", examples, train.pretrain, job.init_weights)


def plan_from_pseudo_labels(job: TrainingJob) -> Stage:
    """Pre-train on the teacher's pseudo-labels, fine-tune on the labeled set."""
    train, pretrained = job.resolved.config.train, plan_distilled(job)
    if job.resolved.config.evaluate.pretrained:
        job.plan_evaluation(pretrained, before_fine_tuning=True)
    return job.plan_training("finetune", job.labeled, train.finetune, pretrained)


APPROACHES: dict[Approach, Callable[[TrainingJob], Stage]] = {
    "supervised": plan_supervised,
    "weakly_supervised": plan_weakly_supervised,
    "semi_supervised": plan_from_pseudo_labels,
    "semi_weakly_supervised": plan_from_pseudo_labels,
    "distilled": plan_distilled,
}
