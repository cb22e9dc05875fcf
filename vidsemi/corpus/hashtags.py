"""Hashtags of a manifest → the classes that they name."""

import unicodedata

import numpy as np

from vidsemi.corpus.manifest import Manifest
from vidsemi.errors import UserError


def canonical(text: str) -> str:
    """A hashtag or class name as one word without case: "#CatchingAFish" and "catching a fish" → "catchingafish"."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LMN")


def matching_classes(manifest: Manifest, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which examples carry a hashtag that is the name of a class.

    Returns:
        Example ids (N,) ascending int64 and class indices (N,) int64; an example stands once for each class it names.

    Raises:
        UserError: the manifest has no hashtags.
    """
    need_hashtags(manifest)
    labels_of: dict[str, list[int]] = {}
    for label, name in enumerate(classes):
        if word := canonical(name):
            labels_of.setdefault(word, []).append(label)
    pairs = []
    for example_id, tags in enumerate(manifest.table.column("hashtags").to_pylist()):
        words = {canonical(tag) for tag in (tags or "").split()}
        pairs += [(example_id, label) for label in sorted(label for word in words for label in labels_of.get(word, []))]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def need_hashtags(manifest: Manifest) -> None:
    """Refuse a manifest without hashtags."""
    if "hashtags" not in manifest.table.column_names:
        raise UserError(f"{manifest.file} has no column 'hashtags', which the policy balanced_with_tags needs")
