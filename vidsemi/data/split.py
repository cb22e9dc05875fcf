"""Split datasets: keep only some labels; groups of examples that must stay on one side."""

import re

import numpy as np

from vidsemi.data.formats.scan_result import ScanResult
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError


def split_labeled(scan: ScanResult, per_class: int, seed: int) -> tuple[ScanResult, ScanResult]:
    """Keep the labels of some examples of each class; both sets keep the order of `scan`.

    Args:
        scan: examples with a column `label`.
        per_class: number of examples of each class that keep their labels.
        seed: of the draw. The draw of a class depends only on the seed, its rank in alphabetical order and its number
            of examples.

    Returns:
        The labeled set, and the unlabeled set without the column `label`.

    Raises:
        UserError: a class has too few examples, or no example would be unlabeled.
    """
    if per_class < 1:
        raise UserError("split.too_few_labels", f"{per_class} labeled examples per class are too few; use at least 1")
    labels = np.array(scan.columns["label"])
    is_labeled = np.zeros(len(labels), bool)
    for number, name in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == name)
        if len(members) < per_class:
            raise UserError(
                "split.class_too_small",
                f"class {name} has {len(members)} examples, fewer than the requested {per_class}",
            )
        is_labeled[np.random.default_rng([seed, number]).permutation(members)[:per_class]] = True
    if is_labeled.all():
        raise UserError(
            "split.none_unlabeled",
            f"each class has only {per_class} examples, so none would be unlabeled; request fewer labels per class",
        )
    labeled, unlabeled = ScanResult(missing=scan.missing, missing_what=scan.missing_what), ScanResult()
    for column, values in scan.columns.items():
        labeled.columns[column] = [value for value, chosen in zip(values, is_labeled, strict=True) if chosen]
        if column != "label":
            unlabeled.columns[column] = [value for value, chosen in zip(values, is_labeled, strict=True) if not chosen]
    return labeled, unlabeled


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """The group of each example, (N,): the part of its path that a pattern captures.

    Args:
        manifest: for examples in tars the pattern is applied to the member's name.
        pattern: regular expression with one group; None puts each example in a group of its own.

    Raises:
        UserError: the pattern does not match a path.
    """
    if pattern is None:
        return np.arange(len(manifest))
    paths = manifest.table.column("path").to_pylist()
    members = manifest.table.column("member").to_pylist() if "member" in manifest.table.column_names else paths
    groups = []
    for path, member in zip(paths, members, strict=True):
        name = member or path
        match = re.search(pattern, name)
        if match is None or match[1] is None:  # the group may be optional
            raise UserError(
                "transfer.group_mismatch", f"{manifest.file}: fc_only.group '{pattern}' does not match {name}"
            )
        groups.append(match[1])
    return np.array(groups)
