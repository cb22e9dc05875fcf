"""The manifests of a run, or of a split of a transfer target: read and checked."""

import logging
import os
from dataclasses import dataclass, replace

import numpy as np

from vidsemi.config import Cut, Data, Source, Validation
from vidsemi.data.class_names import near_equal_warnings
from vidsemi.data.joined import join, parts_of
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.split import HeldOut, ValidationSet
from vidsemi.io.errors import UserError
from vidsemi.io.store import parse_place

logger = logging.getLogger("vidsemi")

SAMPLED_FILES = 20  # of each manifest, to see whether they exist


@dataclass(frozen=True)
class Datasets:
    """The manifests of a run."""

    labeled: Manifest | None  # trained on; its labels are the classes
    test: Manifest | None  # never trained on
    unlabeled: Manifest | None  # scored by teachers
    classes: list[str]  # names, in alphabetical order: the order of a network's outputs; none if nothing is labeled
    weak: Manifest | None = None  # examples with hashtags
    validation: ValidationSet | None = None  # measured while training
    unlabeled_labels: Manifest | None = None  # true labels of unlabeled examples; never trained on

    def by_name(self) -> dict[str, Manifest | None]:
        """The manifests by their names in a config."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "weak": self.weak, "test": self.test}

    def by_file(self) -> dict[str, Manifest]:
        """The manifests that are trained on, by their names; those of a list one by one, such as `unlabeled.0`."""
        found: dict[str, Manifest] = {}
        for name, manifest in self.by_name().items():
            if manifest is not None and name != "test":
                parts = parts_of(manifest)
                found |= {name if len(parts) == 1 else f"{name}.{i}": part for i, part in enumerate(parts)}
        return found


def load_datasets(data: Data) -> Datasets:
    """Read the manifests, check that the test set has no other labels, and look for some of the files of each.

    Raises:
        UserError: a manifest or its files are missing or wrong; names the page that describes how to lay out the data.
    """
    page = f"; {_where_data_comes_from(data.dataset, data.prepare)}" if data.dataset else ""
    try:
        labeled = _load(data.labeled) if data.labeled else None
        test = _load(data.test) if data.test else None
        unlabeled = join([*map(_load, data.unlabeled)]) if data.unlabeled else None
        weak = unlabeled if data.weak == data.unlabeled else join([*map(_load, data.weak)]) if data.weak else None
        validation = _load_validation(data.validation, labeled) if data.validation else None
        true_labels = _load(data.unlabeled_labels) if data.unlabeled_labels else None
    except UserError as error:
        raise UserError(error.code, f"{error}{page}") from None
    if true_labels and "label" not in true_labels.columns:
        raise UserError("manifest.missing_column", f"{true_labels.file} (data.unlabeled_labels) has no column 'label'")
    datasets = Datasets(labeled, test, unlabeled, [], weak, validation, true_labels)
    if labeled:
        classes = labeled.class_names()
        if len(classes) < 2:
            raise UserError(
                "manifest.single_class", f"{labeled.file} has only one class, '{classes[0]}'; use at least two"
            )
        datasets = with_classes(datasets, classes, str(labeled.file))
    for manifest in (*datasets.by_file().values(), test, *([validation.manifest] if validation else [])):
        if manifest:
            _check_some_files(manifest, page)
    return datasets


def _where_data_comes_from(dataset: str, prepare: bool) -> str:
    if prepare:
        return f"the run itself makes it; to check or plan before, run python datasets/{dataset}/prepare.py"
    return f"datasets/{dataset}/README.md describes how to lay out this data"


def with_classes(datasets: Datasets, classes: list[str], source: str) -> Datasets:
    """The same datasets with their classes; a `UserError` if a label to measure on is not one of them."""
    for warning in near_equal_warnings(classes):
        logger.warning("%s: %s", source, warning)
    if datasets.test:
        datasets.test.label_indices(classes, source)
    if datasets.validation:
        datasets.validation.manifest.label_indices(classes, source)
    return replace(datasets, classes=classes)


@dataclass(frozen=True)
class LabeledSplit:
    """A split of a transfer target."""

    labeled: Manifest
    test: Manifest
    classes: list[str]


def load_split(train: Source, test: Source, dataset: str | None) -> LabeledSplit:
    """Read the manifests of a split; raises as `load_datasets`."""
    datasets = load_datasets(Data(labeled=train, test=test, dataset=dataset))
    assert datasets.labeled and datasets.test
    return LabeledSplit(datasets.labeled, datasets.test, datasets.classes)


def _load_validation(validation: Validation, labeled: Manifest | None) -> ValidationSet:
    if validation.manifest is not None:
        source = Source(manifest=validation.manifest, root=validation.root)
        return ValidationSet(_load(source), None, validation.views)
    assert labeled  # the config requires it for a split
    cut = Cut(share=validation.share, per_class=validation.per_class, group=validation.group)
    return ValidationSet(labeled, HeldOut(cut, validation.seed), validation.views)


def _load(source: Source) -> Manifest:
    return load_manifest(parse_place(source.manifest), parse_place(source.root) if source.root else None)


def _check_some_files(manifest: Manifest, page: str) -> None:
    """Refuse a manifest if none of a few files, evenly spread over it, exists."""
    rows = np.linspace(0, len(manifest) - 1, min(SAMPLED_FILES, len(manifest))).astype(int)
    paths = [manifest.row(int(row)).path for row in rows]
    if not any("://" in path or os.path.exists(path) for path in paths):
        raise UserError(
            "manifest.missing_files",
            f"none of the {len(paths)} files sampled from {manifest.file} exists, e.g. {paths[0]}{page}",
        )
