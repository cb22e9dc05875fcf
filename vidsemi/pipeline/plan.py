"""A resolved config → its stages, for every seed, student and approach: the paper's Table 7, and one without labels.

    supervised:              labeled set ──▶ student
    weakly_supervised:       hashtags ──▶ student ──fine-tune on the labeled set──▶ student
    semi_supervised:         labeled set ──▶ teacher ──score the unlabeled set──▶ scores ──select──▶ pseudo-labels
                             pseudo-labels ──▶ student ──fine-tune on the labeled set──▶ student
    semi_weakly_supervised:  the same, with a teacher that is weakly_supervised
    distilled:               a teacher that is trained already ──score the unlabeled set──▶ scores ──select──▶
                             pseudo-labels ──▶ student; no labels are needed

A stage that two students or approaches share (the hashtags, a teacher with its scores and its selection, a teacher that
is a student's own network and trained alike) runs once. Planning reads no file.
"""

from collections.abc import Sequence
from pathlib import Path

from vidsemi.config import Approach
from vidsemi.data.joined import parts_of
from vidsemi.data.manifest import Manifest
from vidsemi.pipeline.precision import PrecisionStage
from vidsemi.pipeline.resolve import Resolved, ResolvedNetwork, describe_targets
from vidsemi.pipeline.stage import Plan, Stage
from vidsemi.pipeline.stages import (
    ImportMappedWeightsStage,
    ImportWeightsStage,
    MeanScoresStage,
    ScoreStage,
    SelectStage,
)
from vidsemi.pipeline.training_job import (
    APPROACHES,
    TrainingJob,
    plan_hashtags,
    plan_supervised,
    plan_weakly_supervised,
)
from vidsemi.pipeline.transfer import TrainedNetwork, plan_transfers
from vidsemi.selection.policies import get_policy

TEACHERS: dict[Approach, str] = {
    "semi_supervised": "teacher",
    "semi_weakly_supervised": "weakly_supervised_teacher",
    "distilled": "teacher",
}


def plan_run(resolved: Resolved) -> Plan:
    """Plan all stages of a run."""
    config = resolved.config
    plan = _empty_plan(resolved)
    if config.trains_on_hashtags:
        plan_hashtags(plan, resolved)  # first, since it ends the run where no hashtag means a class
    trained: list[TrainedNetwork] = []
    for seed in config.seeds:
        selections: dict[Approach, SelectStage] = {}
        for approach in config.teacher_approaches:
            same = next((own for other, own in selections.items() if TEACHERS[other] == TEACHERS[approach]), None)
            selections[approach] = same or plan_teacher(plan, resolved, approach, seed)
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


def plan_teacher(plan: Plan, resolved: Resolved, approach: Approach, seed: int) -> SelectStage:
    """Plan the teacher of an approach or several, their tests, their scores and the selection."""
    config, unlabeled, select = resolved.config, resolved.datasets.unlabeled, resolved.config.select
    assert unlabeled is not None  # the config requires it
    folder = f"seed{seed}/{TEACHERS[approach]}"
    own_classes = [resolved.networks[name].own_classes for name in config.teachers]
    known = {*range(len(resolved.datasets.classes))}
    if all(own_classes):
        known = {number for own in own_classes if own for number in own.class_map.known}
    scores = [_plan_scores(plan, resolved, name, approach, seed) for name in config.teachers]
    by_part: Sequence[ScoreStage | MeanScoresStage] = scores[0]
    if len(scores) > 1:
        stored = min(config.score.per_example or select.per_example, len(known))
        by_part = [
            plan.add(MeanScoresStage(own, stored), _score_folder(folder, unlabeled, own[0].unlabeled), "score")
            for own in zip(*scores, strict=True)
        ]
    policy = get_policy(select.policy)
    selection = SelectStage(
        scores=tuple(by_part),
        per_class=select.per_class,
        per_example=min(select.per_example, len(known)) if all(own_classes) else select.per_example,
        policy=select.policy,
        min_score=select.min_score,
        seed=seed if policy.needs_seed else None,
        tagged=unlabeled if policy.needs_tags else None,
        vocabulary=resolved.vocabulary if policy.needs_tags else None,
        targets=select.targets,
        temperature=select.temperature,
    )
    selection = plan.add(selection, f"{folder}/select", "select")
    if (true_labels := resolved.datasets.unlabeled_labels) is not None:
        plan.add(PrecisionStage(selection, unlabeled, true_labels), f"{folder}/precision", "select")
    return selection


def _score_folder(folder: str, unlabeled: Manifest, part: Manifest) -> str:
    """Where the scores of a manifest of the unlabeled set are, whatever the order of the list."""
    return f"{folder}/score" if len(parts_of(unlabeled)) == 1 else f"{folder}/score-{part.fingerprint[:8]}"


def _plan_scores(plan: Plan, resolved: Resolved, name: str, approach: Approach, seed: int) -> list[ScoreStage]:
    """Plan a teacher, its test, and its scores of each manifest of the unlabeled set."""
    config, network, teacher = resolved.config, resolved.networks[name], resolved.config.teachers[name]
    unlabeled, classes = resolved.datasets.unlabeled, resolved.datasets.classes
    assert unlabeled is not None
    suffix = name.removeprefix("teacher")
    job = TrainingJob(
        plan=plan,
        resolved=resolved,
        network=network,
        student=name,
        approach=TEACHERS[approach],
        folder=f"seed{seed}/{TEACHERS[approach]}{suffix}",
        seed=seed,
        supervised=teacher.train or config.train.supervised,
        kinds=dict.fromkeys(("train", "pretrain", "finetune"), "teacher"),
    )
    trained: Stage
    if teacher.frozen:
        trained = plan.add(_imported(network, classes), f"{name}/weights", "teacher")
    else:
        trained = plan_supervised(job) if approach == "semi_supervised" else plan_weakly_supervised(job)
    if not teacher.frozen or seed == config.seeds[0]:  # a frozen teacher is the same for all seeds: one row
        job.plan_evaluation(trained)
    score, known = config.score, len(network.own_classes.class_map.known if network.own_classes else classes)
    wanted = score.per_example or (config.select.per_example if len(config.teachers) == 1 else known)
    return [
        plan.add(
            ScoreStage(
                teacher=trained,
                unlabeled=part,
                views=score.views,
                crops=score.crops,
                per_example=min(wanted, known),
                shard_size=score.shard_size,
                precision=score.precision,
            ),
            _score_folder(job.folder, unlabeled, part),
            "score",
        )
        for part in parts_of(unlabeled)
    ]


def _imported(network: ResolvedNetwork, classes: list[str]) -> ImportWeightsStage:
    """The import of a frozen teacher."""
    own, weights = network.own_classes, network.weights
    assert weights is not None  # the config requires them
    if own is None:
        return ImportWeightsStage(network.architecture, classes, weights)
    return ImportMappedWeightsStage(network.architecture, own.outputs, weights, own.class_map)


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
