"""Split datasets: keep only some labels; groups of examples that must stay on one side."""

import re
from itertools import compress

import numpy as np

from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError


def split_labeled(scan: ScanResult, per_class: int, seed: int) -> tuple[ScanResult, ScanResult]:
    """Keep the labels of `per_class` examples of each class; return the labeled and the unlabeled set, in their order.

    The draw of a class depends only on the seed, its rank in alphabetical order and its number of examples.

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
                "split.class_too_small", f"class {name} has {len(members)} examples; {per_class} are needed"
            )
        is_labeled[np.random.default_rng([seed, number]).permutation(members)[:per_class]] = True
    if is_labeled.all():
        raise UserError(
            "split.none_unlabeled", f"each class has only {per_class} examples; label fewer, so that some are unlabeled"
        )
    labeled, unlabeled = ScanResult(missing=scan.missing, missing_what=scan.missing_what), ScanResult()
    for column, values in scan.columns.items():
        labeled.columns[column] = list(compress(values, is_labeled))
        if column != "label":
            unlabeled.columns[column] = list(compress(values, ~is_labeled))
    return labeled, unlabeled


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """The group of each example, (N,): what the group of a regular expression captures of its path (or tar member).

    Without a pattern each example is in a group of its own. A path that the pattern does not match is a UserError.
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
