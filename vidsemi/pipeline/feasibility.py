"""Configs that cannot work: errors where the result would be worthless, warnings where it may not be."""

from collections.abc import Mapping, Sequence

import numpy as np

from vidsemi.config import Config, Recipe
from vidsemi.data.hashtags.match import check_frequent
from vidsemi.data.hashtags.vocabulary import Vocabulary
from vidsemi.data.joined import parts_of
from vidsemi.data.manifest import Manifest
from vidsemi.data.overlap import overlap
from vidsemi.data.split import ValidationSet
from vidsemi.io.errors import UserError
from vidsemi.pipeline.datasets import Datasets
from vidsemi.pipeline.media_kinds import check_media
from vidsemi.pipeline.resolve import Resolved, ResolvedTarget
from vidsemi.pipeline.stage import Plan
from vidsemi.pipeline.stages import TrainStage
from vidsemi.selection.policies import get_policy

FEW_STEPS = 10  # a training run that is shorter has hardly begun
SHOWN = 3  # examples that a message names


def check_run(resolved: Resolved) -> list[str]:
    """Check that a run can work; returns warnings, each with the key it is about.

    Raises:
        UserError: its result would be worthless.
    """
    config, datasets = resolved.config, resolved.datasets
    sets = {f"data.{name}": manifest for name, manifest in datasets.by_name().items()}
    classes, unlabeled = len(datasets.classes), datasets.unlabeled
    _check_hashtags(config, resolved.vocabulary, datasets)
    trained_on: dict[str, Manifest | None] = {f"data.{name}": one for name, one in datasets.by_file().items()}
    if datasets.weak is datasets.unlabeled:
        trained_on = {key: manifest for key, manifest in trained_on.items() if not key.startswith("data.weak")}
    validation = datasets.validation
    used = (
        {**trained_on, "data.validation": validation.manifest} if validation and not validation.held_out else trained_on
    )
    warnings = _check_test_set("data.test", datasets.test, used) if datasets.test else []
    warnings += check_targets(resolved.targets, used)
    labeled = len(datasets.labeled) if datasets.labeled else 0
    if validation:
        warnings += _check_validation(validation, trained_on)
        labeled -= len(validation.examples()) if validation.held_out else 0
    warnings += _check_parts(unlabeled)
    warnings += _check_teachers(resolved)
    warnings += _check_selection(config, unlabeled, classes)
    selected = min(config.select.per_class * classes, len(unlabeled)) if unlabeled else 0
    weak = len(datasets.weak) if datasets.weak else 0
    warnings += _check_lengths(_recipes_of(config, labeled, weak, selected))
    keys = {student.name: f"students.{number}.frames" for number, student in enumerate(config.students)}
    keys |= {name: f"{config.teacher_key(name)}.frames" for name in config.teachers}
    frames = {keys[name]: network.architecture.input.frames for name, network in resolved.networks.items()}
    return [*warnings, *check_media(frames, {**sets, "data.weak": datasets.weak if config.data.weak else None})]


def check_starts(plan: Plan) -> list[str]:
    """Warn of training runs whose batch norm would keep the statistics of random weights."""
    frozen = [
        plan.context.name(stage)
        for stage in plan.stages
        if isinstance(stage, TrainStage) and stage.recipe.frozen_batch_norm and stage.init_from is None
    ]
    if not frozen:
        return []
    more = f" and {len(frozen) - 1} more" if len(frozen) > 1 else ""
    return [
        f"frozen_batch_norm: {frozen[0]}{more} would start from random weights and keep the statistics of their batch "
        "norm, mean 0 and variance 1; set init_from, or leave the key out of that recipe"
    ]


def check_targets(targets: Sequence[ResolvedTarget], trained_on: Mapping[str, Manifest | None]) -> list[str]:
    """Check that transfers can work, as `check_run` does; `trained_on` by the networks before, by keys."""
    warnings: list[str] = []
    for number, resolved in enumerate(targets):
        for split_number, split in enumerate(resolved.splits):
            key = f"transfer.{number}" + (f".splits.{split_number}" if resolved.target.splits else "")
            warnings += _check_test_set(f"{key}.test", split.test, {**trained_on, f"{key}.train": split.labeled})
        recipe = resolved.target.full_ft
        if recipe and "full_ft" in resolved.target.protocols:
            least = min(len(split.labeled) for split in resolved.splits)
            warnings += _check_lengths({f"transfer.{number}.full_ft": (recipe, least)})
    return list(dict.fromkeys(warnings))


def _check_test_set(key: str, test: Manifest, trained_on: Mapping[str, Manifest | None]) -> list[str]:
    """Check that a set to measure on shares no example with others, by the keys of both; returns warnings.

    Raises:
        UserError: it does.
    """
    warnings = []
    for other_key, other in trained_on.items():
        if other is None:
            continue
        shared = overlap(test, other)
        if len(shared.same):
            raise UserError(
                "data.test_overlap",
                f"{key}: {_examples(test, shared.same)} are also in {other.file} ({other_key}), so accuracy on them "
                "says nothing; remove them from one of the two",
            )
        if len(shared.other_part):
            warnings.append(
                f"{key}: {_examples(test, shared.other_part)} are other parts of files in {other.file} ({other_key}); "
                "accuracy may be inflated"
            )
        if test.fingerprint == other.fingerprint:
            warnings.append(f"{key}: {test.file} is an exact copy of {other.file} ({other_key}), under another folder")
    return warnings


def _examples(manifest: Manifest, ids: np.ndarray) -> str:
    names = ", ".join(manifest.row(example_id).path for example_id in ids[:SHOWN].tolist())
    return f"{len(ids)} of {len(manifest)} examples of {manifest.file} ({names}{', …' if len(ids) > SHOWN else ''})"


def _check_parts(unlabeled: Manifest | None) -> list[str]:
    """Warn of examples that are in two manifests of the unlabeled set."""
    parts, warnings = parts_of(unlabeled) if unlabeled else (), []
    for number, part in enumerate(parts):
        for other in range(number):
            shared = overlap(part, parts[other]).same
            if len(shared):
                warnings.append(
                    f"data.unlabeled.{number}: {_examples(part, shared)} are also in {parts[other].file} "
                    f"(data.unlabeled.{other}); they may be selected twice"
                )
    return warnings


def _check_teachers(resolved: Resolved) -> list[str]:
    """Warn of classes that teachers do not know, and of scores that several teachers do not store."""
    config, warnings = resolved.config, []
    used = [name for name in config.teachers if name in resolved.networks]
    for name in used:
        own = resolved.networks[name].own_classes
        warnings += own.warnings(config.teacher_key(name)) if own else []
    stored, classes = config.score.per_example, len(resolved.datasets.classes)
    if len(used) > 1 and stored is not None and stored < classes:
        warnings.append(
            f"score.per_example: {stored} of {classes} classes are stored of each teacher; in the mean of several "
            "teachers the others count as 0"
        )
    return warnings


def _check_validation(validation: ValidationSet, trained_on: Mapping[str, Manifest | None]) -> list[str]:
    """Check that validation examples are not trained on, and name the classes that have few; returns warnings.

    Raises:
        UserError: a manifest of them shares examples with the labeled set.
    """
    manifest, held_out = validation.manifest, validation.held_out
    if held_out is None:
        warnings = _check_test_set("data.validation", manifest, {"data.labeled": trained_on.get("data.labeled")})
    else:
        warnings = _check_classes(manifest, held_out.mask(manifest), held_out.cut.per_class or 1)
    examples = validation.examples()
    for key, other in trained_on.items():
        if other is None or key == "data.labeled":
            continue
        shared = np.intersect1d(examples, overlap(manifest, other).same, assume_unique=True)
        if len(shared):
            warnings.append(
                f"data.validation: {_examples(manifest, shared)} are also in {other.file} ({key}); accuracy on them "
                "may be inflated"
            )
    return warnings


def _check_classes(labeled: Manifest, in_validation: np.ndarray, wanted: int) -> list[str]:
    classes = labeled.class_names()
    labels = labeled.label_indices(classes, str(labeled.file))
    counts = np.bincount(labels[in_validation], minlength=len(classes))
    small = [
        f"'{name}' ({count} of {total})"
        for name, count, total in zip(classes, counts, np.bincount(labels), strict=True)
        if count < wanted
    ]
    if not small:
        return []
    shown = ", ".join(small[:SHOWN]) + (", …" if len(small) > SHOWN else "")
    return [
        f"data.validation: {len(small)} of {len(classes)} classes are too small for {wanted} validation examples and "
        f"have fewer: {shown}"
    ]


def _check_hashtags(config: Config, vocabulary: Vocabulary | None, datasets: Datasets) -> None:
    """Check that enough examples carry hashtags of the vocabulary.

    Raises:
        UserError: fewer than two labels have `hashtags.min_examples`, or balanced_with_tags has nothing to select.
    """
    if vocabulary is not None and datasets.weak is not None:
        check_frequent(datasets.weak, vocabulary, config.hashtags.min_examples, labels=2)
    if vocabulary is not None and datasets.unlabeled is not None and get_policy(config.select.policy).needs_tags:
        check_frequent(datasets.unlabeled, vocabulary, 1, labels=1)


def _check_selection(config: Config, unlabeled: Manifest | None, classes: int) -> list[str]:
    """Check that the selection selects; returns warnings.

    Raises:
        UserError: every class would take every example, so that all have the same target.
    """
    if unlabeled is None:
        return []
    select, size = config.select, len(unlabeled)
    ranked = select.policy in ("balanced_ranked", "random")
    alike = ranked and select.targets == "one_hot"
    if alike and select.per_example >= classes and select.per_class >= size and not select.min_score:
        raise UserError(
            "select.selects_all",
            f"select.per_class {select.per_class} is not below the {size} examples of {unlabeled.file}, and "
            f"select.per_example {select.per_example} not below the {classes} classes: each class would take every "
            "example, so all pseudo-labels would be alike",
        )
    if select.per_class * classes > size:
        return [
            f"select.per_class: {select.per_class} × {classes} classes = {select.per_class * classes} is more than the "
            f"{size} examples of {unlabeled.file}: little or nothing is left out; a smaller value selects"
        ]
    return []


def _check_lengths(recipes: Mapping[str, tuple[Recipe, int]]) -> list[str]:
    """Compare recipes, by their keys, with the sizes of their training sets, or the most these can have: warnings."""
    warnings = []
    for key, (recipe, size) in recipes.items():
        if recipe.batch_size > size:
            warnings.append(
                f"{key}.batch_size: {recipe.batch_size} is larger than the training set of at most {size} examples; a "
                "step sees examples more than once"
            )
        if (steps := -(-recipe.examples // recipe.batch_size)) < FEW_STEPS:
            warnings.append(f"{key}.examples: {recipe.examples} are only {steps} steps of {recipe.batch_size}")
        if 2 * recipe.warmup_examples > recipe.examples:
            warnings.append(
                f"{key}.warmup_examples: the warm-up of {recipe.warmup_examples} examples is more than half of the "
                f"training ({recipe.examples})"
            )
    return warnings


def _recipes_of(config: Config, labeled: int, weak: int, selected: int) -> dict[str, tuple[Recipe, int]]:
    """The recipes that a run uses, by their keys, each with the size of its training set."""
    train = config.train
    used = {approach for student in config.students for approach in config.approaches_of(student)}
    trained = {config.teacher_key(name): own for name, own in config.teachers.items() if not own.frozen}
    trained_teachers = config.teacher_approaches if trained else ()
    found: dict[str, tuple[Recipe | None, int]] = {}
    if "semi_supervised" in trained_teachers:
        found |= {f"{key}.train": (own.train, labeled) for key, own in trained.items() if own.train}
    if "supervised" in used or ("semi_supervised" in trained_teachers and len(found) < len(trained)):
        found["train.supervised"] = train.supervised, labeled
    if config.trains_on_hashtags:
        found["train.weak_pretrain"] = train.weak_pretrain, weak
    if "weakly_supervised" in used or "semi_weakly_supervised" in trained_teachers:
        found["train.weak_finetune" if train.weak_finetune else "train.finetune"] = train.after_hashtags, labeled
    if config.teacher_approaches:
        found["train.pretrain"] = train.pretrain, selected
    if {*config.teacher_approaches} - {"distilled"}:
        found["train.finetune"] = train.finetune, labeled
    return {key: (recipe, size) for key, (recipe, size) in found.items() if recipe is not None}
