"""The datasets of a run: read once, and checked against one another."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.config import Data, Source
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io.errors import UserError

SAMPLED_FILES = 20


@dataclass(frozen=True)
class Datasets:
    """The manifests of a run."""

    labeled: Manifest  # trained on; its labels are the classes
    test: Manifest  # never trained on
    unlabeled: Manifest | None  # scored by teachers
    classes: list[str]  # names, in alphabetical order: the order of a network's outputs
    weak: Manifest | None = None  # examples with hashtags

    def by_name(self) -> dict[str, Manifest | None]:
        """The manifests by their names in a config."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "weak": self.weak, "test": self.test}


def load_datasets(data: Data) -> Datasets:
    """Read the manifests, check that the test set has no other labels, and look for some of the files of each.

    Raises:
        UserError: a manifest or its files are missing or wrong; names the page that describes how to lay out the data.
    """
    page = f"; datasets/{data.dataset}/README.md describes how to lay out this data" if data.dataset else ""
    try:
        labeled, test = _load(data.labeled), _load(data.test)
        unlabeled = _load(data.unlabeled) if data.unlabeled else None
        weak = unlabeled if data.weak == data.unlabeled else _load(data.weak) if data.weak else None
    except UserError as error:
        raise UserError(error.code, f"{error}{page}") from None
    classes = labeled.class_names()
    if len(classes) < 2:
        raise UserError("manifest.single_class", f"{labeled.file} has only one class, '{classes[0]}'; use at least two")
    test.label_indices(classes, str(labeled.file))
    for manifest in (labeled, test, unlabeled, weak):
        if manifest is not None:
            _check_some_files(manifest, page)
    return Datasets(labeled, test, unlabeled, classes, weak)


def _load(source: Source) -> Manifest:
    return load_manifest(Path(source.manifest), Path(source.root) if source.root else None)


def _check_some_files(manifest: Manifest, page: str) -> None:
    """Refuse a manifest if none of a few files, evenly spread over it, exists."""
    rows = np.linspace(0, len(manifest) - 1, min(SAMPLED_FILES, len(manifest))).astype(int)
    paths = [manifest.row(int(row)).path for row in rows]
    if not any("://" in path or os.path.exists(path) for path in paths):
        raise UserError(
            "manifest.missing_files",
            f"none of the {len(paths)} files sampled from {manifest.file} exists, e.g. {paths[0]}{page}",
        )
