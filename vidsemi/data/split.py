"""A labelled dataset as D and U: some examples of every class keep their labels, the others lose them."""

import numpy as np

from vidsemi.data.formats.readers import Found
from vidsemi.io.errors import UserError


def withhold_labels(found: Found, per_class: int, seed: int) -> tuple[Found, Found]:
    """Draw the examples that keep their labels; both parts keep the order of `found`.

    Args:
        found: examples with a column `label`.
        per_class: how many of each class keep their labels.
        seed: of the draw. A class's draw depends on this, its place in the alphabet and its number of examples only.

    Returns:
        The labelled examples, and the others without the column `label`.

    Raises:
        UserError: a class has fewer examples than that, or none is left without its label.
    """
    if per_class < 1:
        raise UserError(f"{per_class} labelled examples a class; there must be at least 1")
    labels = np.array(found.columns["label"])
    keeps = np.zeros(len(labels), bool)
    for number, name in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == name)
        if len(members) < per_class:
            raise UserError(f"class {name} has {len(members)} examples, fewer than {per_class}")
        keeps[np.random.default_rng([seed, number]).permutation(members)[:per_class]] = True
    if keeps.all():
        raise UserError(f"{per_class} labelled examples a class are all there are, so that none is left unlabelled")
    labeled, unlabeled = Found(missing=found.missing, missing_are=found.missing_are), Found()
    for column, values in found.columns.items():
        labeled.columns[column] = [value for value, kept in zip(values, keeps, strict=True) if kept]
        if column != "label":
            unlabeled.columns[column] = [value for value, kept in zip(values, keeps, strict=True) if not kept]
    return labeled, unlabeled
