"""The approaches of the paper's Table 7: a resolved config → its stages, for every seed, student and approach.

    supervised:              labeled set ──▶ student
    weakly_supervised:       hashtags ──▶ student ──fine-tune on the labeled set──▶ student
    semi_supervised:         labeled set ──▶ teacher ──score the unlabeled set──▶ scores ──select──▶ pseudo-labels
                             pseudo-labels ──▶ student ──fine-tune on the labeled set──▶ student
    semi_weakly_supervised:  the same, with a teacher that is weakly_supervised

A stage that two students or approaches share (the hashtags, a teacher with its scores and its selection, a teacher that
is a student's own network and trained alike) runs once. Planning reads no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidsemi.config import Approach, Recipe
from vidsemi.data.joined import parts_of
from vidsemi.pipeline.precision import PrecisionStage
from vidsemi.pipeline.resolve import Resolved, ResolvedNetwork, describe_targets
from vidsemi.pipeline.stage import Plan, PlannedRow, Stage, WeightsFile
from vidsemi.pipeline.stages import (
    EvaluateStage,
    HashtagExamples,
    HashtagsStage,
    ImportMappedWeightsStage,
    ImportWeightsStage,
    LabeledExamples,
    PseudoLabeledExamples,
    ScoreStage,
    SelectStage,
    TrainStage,
)
from vidsemi.pipeline.transfer import TrainedNetwork, plan_transfers
from vidsemi.selection.policies import get_policy

TEACHERS: dict[Approach, str] = {"semi_supervised": "teacher", "semi_weakly_supervised": "weakly_supervised_teacher"}


def plan_run(resolved: Resolved) -> Plan:
    """Plan all stages of a run."""
    config = resolved.config
    plan = _empty_plan(resolved)
    if config.trains_on_hashtags:
        plan_hashtags(plan, resolved)  # first, since it ends the run where no hashtag means a class
    trained: list[TrainedNetwork] = []
    for seed in config.seeds:
        selections = {approach: plan_teacher(plan, resolved, approach, seed) for approach in config.teacher_approaches}
        for student in config.students:
            for approach in config.approaches_of(student):
                job = TrainingJob(
                    plan=plan,
                    resolved=resolved,
                    network=resolved.networks[student.name],
                    student=student.name,
                    approach=approach,
                    folder=f"seed{seed}/{student.name}/{approach}",
                    seed=seed,
                    supervised=config.train.supervised,
                    kinds={"train": "supervised", "pretrain": "pretrain", "finetune": "finetune"},
                    selection=selections.get(approach),
                )
                last = APPROACHES[approach](job)
                job.plan_evaluation(last)
                names, architecture = (student.name, approach, seed, job.folder), job.network.architecture
                trained.append(TrainedNetwork(*names, architecture, last, augmentation=config.input))
    for source in trained:
        plan_transfers(plan, source, resolved.targets)
    return plan


def plan_hashtags(plan: Plan, resolved: Resolved) -> HashtagsStage:
    """Plan the matching of hashtags, which is the same for all seeds."""
    weak, vocabulary = resolved.datasets.weak, resolved.vocabulary
    assert weak is not None and vocabulary is not None  # `resolve` reads them where hashtags are trained on
    return plan.add(HashtagsStage(weak, vocabulary, resolved.config.hashtags.min_examples), "hashtags", "hashtags")


def plan_teacher(plan: Plan, resolved: Resolved, approach: Approach, seed: int) -> SelectStage:
    """Plan the teacher of an approach, its test, its scores and its selection."""
    config, network, teacher = resolved.config, resolved.networks["teacher"], resolved.config.teacher
    unlabeled = resolved.datasets.unlabeled
    assert teacher is not None and unlabeled is not None  # the config requires them
    name = TEACHERS[approach]
    job = TrainingJob(
        plan=plan,
        resolved=resolved,
        network=network,
        student="teacher",
        approach=name,
        folder=f"seed{seed}/{name}",
        seed=seed,
        supervised=teacher.train or config.train.supervised,
        kinds=dict.fromkeys(("train", "pretrain", "finetune"), "teacher"),
    )
    trained: Stage
    if teacher.frozen:
        trained = plan.add(_imported(network, resolved.datasets.classes), "teacher/weights", "teacher")
    else:
        trained = plan_supervised(job) if approach == "semi_supervised" else plan_weakly_supervised(job)
    if not teacher.frozen or seed == config.seeds[0]:  # a frozen teacher is the same for all seeds: one row
        job.plan_evaluation(trained)
    score, select = config.score, config.select
    known = len(network.own_classes.class_map.known if network.own_classes else resolved.datasets.classes)
    scores = []
    for part in (parts := parts_of(unlabeled)):
        stage = ScoreStage(
            teacher=trained,
            unlabeled=part,
            views=score.views,
            crops=score.crops,
            per_example=min(score.per_example or select.per_example, known),
            shard_size=score.shard_size,
            precision=score.precision,
        )
        name = "score" if len(parts) == 1 else f"score-{part.fingerprint[:8]}"  # whatever the order of the list
        scores.append(plan.add(stage, f"{job.folder}/{name}", "score"))
    policy = get_policy(select.policy)
    selection = SelectStage(
        scores=tuple(scores),
        per_class=select.per_class,
        per_example=min(select.per_example, known) if network.own_classes else select.per_example,
        policy=select.policy,
        min_score=select.min_score,
        seed=seed if policy.needs_seed else None,
        tagged=unlabeled if policy.needs_tags else None,
        vocabulary=resolved.vocabulary if policy.needs_tags else None,
        targets=select.targets,
        temperature=select.temperature,
    )
    selection = plan.add(selection, f"{job.folder}/select", "select")
    if (true_labels := resolved.datasets.unlabeled_labels) is not None:
        plan.add(PrecisionStage(selection, unlabeled, true_labels), f"{job.folder}/precision", "select")
    return selection


def _imported(network: ResolvedNetwork, classes: list[str]) -> ImportWeightsStage:
    """The import of a frozen teacher."""
    own, weights = network.own_classes, network.weights
    assert weights is not None  # the config requires them
    if own is None:
        return ImportWeightsStage(network.architecture, classes, weights)
    return ImportMappedWeightsStage(network.architecture, own.outputs, weights, own.class_map)


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
    supervised: Recipe  # for the labeled set alone
    kinds: Mapping[str, str]  # of its stages, by the last part of their folders
    selection: SelectStage | None = None  # the pseudo-labels, for a student that learns from a teacher

    @property
    def labeled(self) -> LabeledExamples:
        """The labeled set to train on."""
        datasets = self.resolved.datasets
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
        """Plan the test of a network, which is a row of results.json."""
        test, datasets = self.resolved.config.evaluate, self.resolved.datasets
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


def plan_from_pseudo_labels(job: TrainingJob) -> Stage:
    """Pre-train on the teacher's pseudo-labels, fine-tune on the labeled set."""
    train, datasets = job.resolved.config.train, job.resolved.datasets
    assert job.selection is not None and datasets.unlabeled is not None
    examples = PseudoLabeledExamples(datasets.unlabeled, datasets.classes, job.selection)
    pretrained = job.plan_training("pretrain", examples, train.pretrain, job.init_weights)
    if job.resolved.config.evaluate.pretrained:
        job.plan_evaluation(pretrained, before_fine_tuning=True)
    return job.plan_training("finetune", job.labeled, train.finetune, pretrained)


APPROACHES: dict[Approach, Callable[[TrainingJob], Stage]] = {
    "supervised": plan_supervised,
    "weakly_supervised": plan_weakly_supervised,
    "semi_supervised": plan_from_pseudo_labels,
    "semi_weakly_supervised": plan_from_pseudo_labels,
}


def _empty_plan(resolved: Resolved) -> Plan:
    config, datasets = resolved.config, resolved.datasets
    sizes = {name: len(manifest) if manifest else 0 for name, manifest in datasets.by_name().items()}
    if datasets.validation:
        sizes["validation"] = len(datasets.validation.examples())
    counts = ", ".join(f"{size} {name}" for name, size in sizes.items())
    return Plan(
        output=Path(config.output),
        runtime=config.runtime,
        log=config.log,
        checks=resolved.checks,
        summary=[f"{len(datasets.classes)} classes; {counts}", *describe_targets(resolved.targets)],
        sizes={"classes": len(datasets.classes), **sizes},
        started=resolved.started,
    )
