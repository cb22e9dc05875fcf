"""The corpora of a run, read and checked against one another."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsemi.config import Data, Source
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io.errors import UserError

FILES_LOOKED_FOR = 20


@dataclass(frozen=True)
class Corpora:
    """D, the test set, U, W, and the classes of D in alphabetical order."""

    labeled: Manifest
    test: Manifest
    unlabeled: Manifest | None
    classes: list[str]
    weak: Manifest | None = None

    def by_name(self) -> dict[str, Manifest | None]:
        """The manifests under their names in a config."""
        return {"labeled": self.labeled, "unlabeled": self.unlabeled, "weak": self.weak, "test": self.test}


def load_corpora(data: Data) -> Corpora:
    """Read the manifests; labels of the test set must be labels of D, and some files of each must be there.

    Raises:
        UserError: one that says what is missing or wrong, and which page tells how to lay out the data.
    """
    page = f"; datasets/{data.dataset}/README.md tells how to lay out this data" if data.dataset else ""
    try:
        labeled, test = _load(data.labeled), _load(data.test)
        unlabeled = _load(data.unlabeled) if data.unlabeled else None
        weak = unlabeled if data.weak == data.unlabeled else _load(data.weak) if data.weak else None
    except UserError as error:
        raise UserError(f"{error}{page}") from None
    classes = labeled.class_names()
    if len(classes) < 2:
        raise UserError(f"{labeled.file} has a single class, '{classes[0]}'; there is nothing to tell apart")
    test.label_indices(classes, str(labeled.file))
    for manifest in (labeled, test, unlabeled, weak):
        if manifest is not None:
            _look_for_files(manifest, page)
    return Corpora(labeled, test, unlabeled, classes, weak)


def _load(source: Source) -> Manifest:
    return load_manifest(Path(source.manifest), Path(source.root) if source.root else None)


def _look_for_files(manifest: Manifest, page: str) -> None:
    """Refuse a manifest of which not one of a few files, evenly spread, is there."""
    rows = np.linspace(0, len(manifest) - 1, min(FILES_LOOKED_FOR, len(manifest))).astype(int)
    paths = [manifest.row(int(row)).path for row in rows]
    if not any("://" in path or os.path.exists(path) for path in paths):
        raise UserError(
            f"none of {len(paths)} files of {manifest.file} that were looked for is there, such as {paths[0]}{page}"
        )
