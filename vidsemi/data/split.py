"""Split datasets: keep only some labels; groups of examples that must stay on one side."""

import re
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.config import Cut
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.hashtags.distinct import Distinct
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place


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


@dataclass(frozen=True)
class HeldOut:
    """A validation split that is cut from a labeled set."""

    cut: Cut
    seed: int

    def mask(self, labeled: Manifest) -> np.ndarray:
        """Which examples are in the split, (N,) bool; a UserError if none is."""
        labels = labeled.label_indices(labeled.class_names(), str(labeled.file))
        chosen = validation_split(labels, group_numbers(labeled, self.cut.group), self.cut, self.seed)
        if not chosen.any():
            raise UserError(
                "split.no_validation",
                f"{labeled.file}: no class has two groups of examples, of which to validate on one",
            )
        return chosen


@dataclass(frozen=True)
class ValidationSet:
    """Labeled examples to measure networks on while they are trained."""

    manifest: Manifest
    held_out: HeldOut | None  # None for all examples of the manifest
    views: int

    def examples(self) -> np.ndarray:
        """The example ids, ascending."""
        return np.flatnonzero(self.held_out.mask(self.manifest)) if self.held_out else np.arange(len(self.manifest))


def validation_split(labels: np.ndarray, groups: np.ndarray, cut: Cut, seed: int) -> np.ndarray:
    """Which examples are in the validation split, (N,) bool: whole groups, drawn at random class by class.

    Of each class it takes as many groups as fit into the share or number, but at least one, and never all; so none of a
    class with one group. Labels are (N,) class indices; examples with the same value in groups, (N,), stay together. A
    group may have examples of several classes.
    """
    rng = np.random.default_rng(seed)
    _, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([group, labels], axis=1), axis=0)  # (group, class), by group
    starts = np.searchsorted(pairs[:, 0], np.arange(group.max(initial=-1) + 2))
    left = np.bincount(pairs[:, 1])  # groups of each class that are not taken
    taken = np.zeros(len(starts) - 1, bool)
    for label in np.unique(labels):
        own = group[labels == label]
        names, sizes = np.unique(own, return_counts=True)
        most = cut.share * len(own) if cut.share is not None else min(cut.per_class or 0, len(own) // 2)
        total = int(sizes[taken[names]].sum())
        for place in rng.permutation(len(names)):
            classes = pairs[starts[names[place]] : starts[names[place] + 1], 1]
            if total and total + sizes[place] > most:
                break
            if not taken[names[place]] and (left[classes] > 1).all():
                taken[names[place]] = True
                left[classes] -= 1
                total += int(sizes[place])
    return taken[group]


def groups_of(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """The group of each example, (N,): what the group of a regular expression captures of its path (or tar member).

    Without a pattern it is the manifest's column `group`, and where there is none, the file; each is a number. A path
    that the pattern does not match is a UserError.
    """
    numbers, names = _numbered(manifest, pattern)
    return numbers if pattern is None else np.array(names.to_pylist())[numbers]


def group_numbers(manifest: Manifest, pattern: str | None) -> np.ndarray:
    """The groups of `groups_of` as numbers, (N,) int32, those of a pattern in alphabetical order. Takes less memory."""
    return _numbered(manifest, pattern)[0]


def _numbered(manifest: Manifest, pattern: str | None) -> tuple[np.ndarray, pa.Array]:
    """The number of each example's group, (N,) int32, and the groups."""
    distinct, numbers = Distinct(), np.empty(len(manifest), np.int32)
    for first, batch in zip(manifest.batches.starts, manifest.batches, strict=False):
        names = _own_groups(batch) if pattern is None else _captured(batch, pattern, manifest.file)
        numbers[first : first + len(batch)] = distinct.numbers_of(names)
    groups = distinct.texts()
    if pattern is None:
        return numbers, groups
    order = pc.sort_indices(groups)
    place = np.empty(len(groups), np.int32)
    place[order.to_numpy()] = np.arange(len(groups))
    return place[numbers], groups.take(order)


def _own_groups(batch: pa.RecordBatch) -> pa.Array:
    has, paths = batch.schema.names, batch.column("path")
    members = pc.fill_null(batch.column("member"), "") if "member" in has else pa.scalar("")
    names = pc.binary_join_element_wise("file", paths, members, "\0")
    if "group" not in has:
        return names
    own = batch.column("group")
    return pc.if_else(pc.is_valid(own), pc.binary_join_element_wise("group", pc.fill_null(own, ""), "\0"), names)


def _captured(batch: pa.RecordBatch, pattern: str, file: Place) -> pa.Array:
    names = batch.column("path").to_pylist()
    members = batch.column("member").to_pylist() if "member" in batch.schema.names else names
    groups = []
    for path, member in zip(names, members, strict=True):
        name = member or path
        match = re.search(pattern, name)
        if match is None or match[1] is None:  # the group may be optional
            raise UserError("split.group_mismatch", f"{file}: the group '{pattern}' does not match {name}")
        groups.append(match[1])
    return pa.array(groups, pa.string())
