"""A config → everything that a run needs to know, read once and checked in seconds, before anything runs for hours."""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsemi.config import Config, Network, Runtime, Target, Teacher, TransferConfig
from vidsemi.data.dedup.checks import Check, recorded_checks, unknown_checks
from vidsemi.data.hashtags.vocabulary import Vocabulary, vocabulary_for
from vidsemi.data.manifest import Manifest
from vidsemi.data.split import group_numbers
from vidsemi.io.errors import UserError
from vidsemi.io.files import dataset_folder
from vidsemi.pipeline.datasets import Datasets, LabeledSplit, load_datasets, load_split, with_classes
from vidsemi.pipeline.record import started_stages
from vidsemi.pipeline.stage import Architecture, WeightsFile
from vidsemi.pipeline.teacher_classes import TeacherClasses, teacher_classes
from vidsemi.selection.policies import get_policy
from vidsemi.selection.soft_targets import check_targets
from vidsemi.training.log import check_log

EARLIER_TRAINING = "what the weights were trained on before"  # not known here, since no stage created them


logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class ResolvedNetwork:
    """A network of the config that builds and takes its clips."""

    architecture: Architecture
    weights: WeightsFile | None  # None for random weights
    weakly_pretrained: bool  # whether the config says that the weights were pre-trained on hashtags
    own_classes: TeacherClasses | None = None  # of a frozen teacher; None if its outputs are the classes of the run


@dataclass(frozen=True)
class ResolvedTarget:
    """A transfer target and the manifests of its splits."""

    target: Target
    splits: list[LabeledSplit]

    def split_name(self, number: int) -> str:
        """The target's name, and which split of several."""
        return f"{self.target.name} split {number + 1}" if len(self.splits) > 1 else self.target.name


@dataclass(frozen=True)
class Resolved:
    """A run's config and what it names."""

    config: Config
    datasets: Datasets  # without those that no approach uses
    vocabulary: Vocabulary | None  # None if no stage reads hashtags
    networks: Mapping[str, ResolvedNetwork]  # the students and teachers by their names
    targets: Sequence[ResolvedTarget]
    checks: Sequence[Check]  # for duplicates of test examples in training sets
    started: Mapping[str, str]  # folders of the stages that the output has, by fingerprint


@dataclass(frozen=True)
class ResolvedTransfer:
    """The config of `vidsemi transfer` and what it names; attributes as in `Resolved`."""

    config: TransferConfig
    architecture: Architecture
    weights: WeightsFile
    targets: Sequence[ResolvedTarget]
    checks: Sequence[Check]
    started: Mapping[str, str]


def resolve(config: Config) -> Resolved:
    """Read and check everything that a run needs.

    Raises:
        UserError: a manifest, network, weights file, package or device is missing or wrong, or the output is not
            writable.
    """
    if config.data.dataset:
        dataset_folder(config.data.dataset)
    check_log(config.log)
    check_targets(config.select.targets, config.select.temperature, config.select.policy)
    used = {
        "unlabeled": config.data.unlabeled if config.teacher_approaches else None,
        "weak": config.data.hashtags if config.trains_on_hashtags else None,
    }
    datasets = load_datasets(config.data.model_copy(update=used))  # first: most runs fail here, and it needs no torch
    if not datasets.labeled:
        datasets = _with_classes_of(next(iter(config.teachers.values())), datasets)
    vocabulary = _resolve_vocabulary(config, datasets)
    targets = _resolve_targets(config.transfer)
    networks = _resolve_networks(config, datasets.classes)
    _check_machine(config.output, config.runtime)
    trained_on = datasets.by_file()
    from_weights = any(network.weights for network in networks.values())
    checks: list[Check] = []
    if datasets.test:
        checks += _duplicate_checks(trained_on, "test", datasets.test, from_weights=from_weights)
    checks += _target_checks(trained_on, targets, from_weights=from_weights)
    started = started_stages(Path(config.output))
    return Resolved(config, datasets, vocabulary, networks, targets, checks, started)


def resolve_transfer(weights: Path, config: TransferConfig) -> ResolvedTransfer:
    """Read and check everything that a transfer of existing weights needs; raises as `resolve` does."""
    check_log(config.log)
    targets = _resolve_targets(config.transfer)
    _check_machine(config.output, config.runtime)
    from vidsemi.models.features import check_features
    from vidsemi.models.weights_file import fingerprint, load_spec

    spec = load_spec(weights)
    if any("fc_only" in target.protocols for target in config.transfer):
        check_features(spec)
    return ResolvedTransfer(
        config=config,
        architecture=Architecture(spec.model, spec.args, spec.input),
        weights=WeightsFile(str(weights.resolve()), fingerprint(weights)),
        targets=targets,
        checks=_target_checks({}, targets, from_weights=True),
        started=started_stages(Path(config.output)),
    )


def prepare_data(config: Config) -> None:
    """Run the dataset's prepare.py if manifests are missing and the config says that the script creates them."""
    data = config.data
    sources = [
        data.labeled,
        data.test,
        *(data.unlabeled or ()),
        *(data.weak or ()),
        data.validation,
        data.unlabeled_labels,
    ]
    names = [source.manifest for source in sources if source and source.manifest]
    if not (data.prepare and data.dataset) or all(Path(name).exists() for name in names):
        return
    script, target = dataset_folder(data.dataset) / "prepare.py", Path(names[0]).parent
    logger.info("%s writes the data to %s", script, target)
    if subprocess.run([sys.executable, str(script), "--output", str(target)], stdout=sys.stderr).returncode:
        raise UserError("data.prepare_failed", f"{script} failed; the data in {target} is not complete")


def _with_classes_of(teacher: Teacher, datasets: Datasets) -> Datasets:
    """The datasets of a run without labels, with the classes that its frozen teacher, the first of several, defines."""
    from vidsemi.models.weights import read_weights

    assert teacher.init_from  # the config requires it
    own = teacher_classes(teacher, weights := read_weights(teacher.init_from), None)
    classes = own.class_map.classes if own else sorted(weights.classes or ())
    if len(classes) < 2:
        raise UserError("teacher.single_class", f"{weights.file} defines fewer than two classes: {', '.join(classes)}")
    return with_classes(datasets, classes, teacher.class_map or teacher.classes or weights.file)


def _resolve_vocabulary(config: Config, datasets: Datasets) -> Vocabulary | None:
    synonyms = dataset_folder(config.data.dataset) / "synonyms.csv" if config.data.dataset else None
    return vocabulary_for(
        datasets.classes,
        config.hashtags,
        weak=datasets.weak,
        tagged=datasets.unlabeled if get_policy(config.select.policy).needs_tags else None,
        default_synonyms=synonyms if synonyms and synonyms.exists() else None,
    )


def _resolve_networks(config: Config, classes: list[str]) -> dict[str, ResolvedNetwork]:
    """Build each network on the meta device, send clips through it, and compare its weights."""
    from vidsemi.models.build import check_network, check_weights, named_as, network_spec
    from vidsemi.models.features import check_features
    from vidsemi.models.weights import fingerprint_weights, read_weights

    networks: dict[str, Network] = {student.name: student for student in config.students}
    if config.teacher_approaches:
        networks |= config.teachers
    resolved = {}
    for name, network in networks.items():
        frozen = isinstance(network, Teacher) and network.frozen
        weights = read_weights(network.init_from) if network.init_from else None
        trained_on = weights.trained_on(network.model) if frozen and weights else None
        own = (
            teacher_classes(network, weights, classes) if isinstance(network, Teacher) and frozen and weights else None
        )
        if own is not None and weights is not None:
            weights = named_as(weights, own.outputs)
        spec = network_spec(network, config.input, own.outputs if own else classes, trained_on)
        check_network(spec)
        if not isinstance(network, Teacher) and any("fc_only" in target.protocols for target in config.transfer):
            check_features(spec)
        file = None
        if weights is not None and network.init_from:
            check_weights(spec, weights, frozen=frozen, weakly_pretrained=network.weakly_pretrained)
            file = WeightsFile(network.init_from, fingerprint_weights(network.init_from))
        architecture = Architecture(spec.model, spec.args, spec.input)
        resolved[name] = ResolvedNetwork(architecture, file, network.weakly_pretrained, own)
    return resolved


def _resolve_targets(targets: Sequence[Target]) -> list[ResolvedTarget]:
    resolved = []
    for target in targets:
        splits = [load_split(split.train, split.test, target.dataset) for split in target.all_splits]
        if "fc_only" in target.protocols:
            for split in splits:
                group_numbers(split.labeled, target.fc_only.validation.group)
        resolved.append(ResolvedTarget(target, splits))
    return resolved


def _duplicate_checks(
    trained_on: Mapping[str, Manifest | None], name: str, test: Manifest, *, from_weights: bool
) -> list[Check]:
    """Check training sets for duplicates of a test set; `from_weights`: networks start from weights that saw others."""
    unknown = unknown_checks(EARLIER_TRAINING, {name: test}) if from_weights else []
    return recorded_checks(trained_on, {name: test}) + unknown


def _target_checks(
    trained_on: Mapping[str, Manifest | None], targets: Sequence[ResolvedTarget], *, from_weights: bool
) -> list[Check]:
    checks = []
    for resolved in targets:
        for number, split in enumerate(resolved.splits):
            sets = {**trained_on, "its own training set": split.labeled}
            checks += _duplicate_checks(sets, resolved.split_name(number), split.test, from_weights=from_weights)
    return checks


def describe_targets(targets: Sequence[ResolvedTarget]) -> list[str]:
    """One line for each split."""
    return [
        f"transfer to {resolved.split_name(number).replace(' split ', ', split ')}: "
        f"{len(split.classes)} classes; {len(split.labeled)} train, {len(split.test)} test"
        for resolved in targets
        for number, split in enumerate(resolved.splits)
    ]


def _check_machine(output: str, runtime: Runtime) -> None:
    from vidsemi.runtime.device import pick_device

    pick_device(runtime)
    folder = existing_folder(Path(output))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError("output.not_writable", f"output: cannot create or write to {output}, because of {folder}")


def existing_folder(path: Path) -> Path:
    """The path, or its closest parent that exists."""
    return next(folder for folder in [path, *path.resolve().parents] if folder.exists())
