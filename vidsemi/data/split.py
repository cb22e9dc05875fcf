"""Split a labeled dataset into a labeled and an unlabeled set."""

import numpy as np

from vidsemi.data.formats.scan_result import ScanResult
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
