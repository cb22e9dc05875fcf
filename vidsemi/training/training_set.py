"""Training sets: the labeled set, the weakly labeled set with its hashtags, the pseudo-labeled set of a selection."""

import logging
from dataclasses import dataclass

import numpy as np

from vidsemi.data.manifest import Manifest
from vidsemi.data.samplers import repeats_of
from vidsemi.data.targets import Targets
from vidsemi.io.errors import UserError
from vidsemi.selection.result import Selection

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class TrainingSet:
    """Examples with their targets."""

    manifest: Manifest
    examples: np.ndarray  # (N,) int64 ids of the examples to train on, ascending
    targets: Targets  # N of them
    classes: list[str]  # names of the network's outputs
    repeats: np.ndarray | None = None  # (N,) integers, how often each example occurs in an epoch; once if None
    hashtags: bool = False  # whether the classes are hashtags


def labeled_set(
    labeled: Manifest,
    seed: int,
    repeat_factor: str = "natural",
    held_out: np.ndarray | None = None,
    classes: list[str] | None = None,
) -> TrainingSet:
    """The examples of a manifest with their labels, but for the held out ones, (N,) bool.

    The seed is that of rounding the repeat factors. The classes are the labels by default.
    """
    if classes is None:
        classes = labeled.class_names()
    labels = labeled.label_indices(classes, "the network")
    examples = np.arange(len(labels)) if held_out is None else np.flatnonzero(~held_out)
    targets = Targets.single(labels[examples], len(classes))
    repeats = None
    if repeat_factor != "natural":
        repeats = repeats_of(targets, repeat_factor, seed)
        numbers = (repeats.sum(), len(repeats), repeat_factor)
        logger.info("labels: an epoch has %d clips of %d examples (repeat_factor: %s)", *numbers)
    return TrainingSet(labeled, examples, targets, classes, repeats)


def hashtag_set(
    weak: Manifest, names: list[str], example_ids: np.ndarray, labels: np.ndarray, repeat_factor: str, seed: int
) -> TrainingSet:
    """The examples with a hashtag that matches a label; target 1/k on each of their k labels (Mahajan et al. 2018).

    Args:
        weak: the examples.
        names: names of the labels.
        example_ids: (M,) of the matches, ascending.
        labels: (M,) of the matches, as indices of names.
        repeat_factor: a key of `REPEAT_RULES`.
        seed: of rounding the repeat factors.
    """
    is_first = np.ones(len(example_ids), bool)
    is_first[1:] = example_ids[1:] != example_ids[:-1]
    examples = example_ids[is_first]
    offsets = np.full(len(examples) + 1, len(labels))
    offsets[:-1] = np.flatnonzero(is_first)
    del is_first
    targets = Targets(offsets, labels, len(names))
    repeats = repeats_of(targets, repeat_factor, seed)
    numbers = (repeats.sum(), len(repeats), repeat_factor)
    logger.info("hashtags: an epoch has %d clips of %d examples (repeat_factor: %s)", *numbers)
    return TrainingSet(weak, examples, targets, names, repeats, hashtags=True)


def pseudo_labeled_set(
    unlabeled: Manifest, classes: list[str], selection: Selection, source: object = "the selection"
) -> TrainingSet:
    """The selected examples, each once, with target 1/k on each of the k classes that selected it, or a soft target.

    A selection from another manifest or with other classes, or an empty one, is a `UserError` that begins with its
    source.
    """
    selection.check_manifest(unlabeled, source)
    if selection.classes != classes:
        raise UserError("selection.wrong_classes", f"{source} was created with other classes")
    if len(selection) == 0:
        raise UserError("selection.empty", f"{source} selects no examples, so there is nothing to train on")
    examples, offsets, labels, shares = selection.targets_by_example()
    return TrainingSet(unlabeled, examples, Targets(offsets, labels, len(classes), shares), classes)
