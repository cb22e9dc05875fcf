"""A training stage: of a teacher or a student, from fresh or other weights, on labels, hashtags or a selection."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsemi.config import Log, Recipe, Runtime
from vidsemi.data.datasets import TrainDataset
from vidsemi.data.hashtags.match import read_matches
from vidsemi.data.manifest import Manifest
from vidsemi.data.samplers import draw_repeats, repeat_factors
from vidsemi.data.targets import Targets
from vidsemi.data.video.backends import check_decoder
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.models.build import begin_with, identity_of
from vidsemi.models.weights import read_weights
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.distributed import processes
from vidsemi.selection.result import read_selection
from vidsemi.training.trainer import train

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"


@dataclass(frozen=True)
class Lesson:
    """What a training learns.

    Attributes:
        manifest: where the examples are.
        examples: (N,) int64 example ids.
        targets: what they teach.
        classes: names of the outputs.
        copies: (N,) int64, how many times each stands in a pass; once if None.
        hashtags: whether the classes are hashtags.
    """

    manifest: Manifest
    examples: np.ndarray
    targets: Targets
    classes: list[str]
    copies: np.ndarray | None = None
    hashtags: bool = False


def labeled_lesson(labeled: Manifest) -> Lesson:
    """All of a labeled set with its true labels."""
    classes = labeled.class_names()
    labels = labeled.label_indices(classes, str(labeled.file))
    return Lesson(labeled, np.arange(len(labels)), Targets.single(labels, len(classes)), classes)


def hashtag_lesson(weak: Manifest, matched: Path, repeat_factor: str, seed: int) -> Lesson:
    """The examples that carry a label, with target 1/k on each of their k labels (Mahajan et al. 2018).

    Args:
        weak: the weakly labeled set.
        matched: folder of the hashtags stage.
        repeat_factor: rule by which examples of rare labels are repeated.
        seed: of the rounding of repeat factors.
    """
    names, example_ids, labels = read_matches(matched)
    examples, first = np.unique(example_ids, return_index=True)
    targets = Targets(np.append(first, len(labels)), labels, len(names))
    copies = draw_repeats(repeat_factors(targets, repeat_factor), seed)
    logger.info(
        "a pass over %d examples with hashtags has %d clips, repeat factor: %s",
        len(copies),
        copies.sum(),
        repeat_factor,
    )
    return Lesson(weak, examples, targets, names, copies, hashtags=True)


def selected_lesson(unlabeled: Manifest, classes: list[str], selection_file: Path) -> Lesson:
    """The pseudo-labeled set: each selected example once, with target 1/k on each of the k classes that took it.

    Raises:
        UserError: the selection was created from another manifest or other classes, or is empty.
    """
    selection = read_selection(selection_file)
    scores = selection.info.scores
    if (scores.manifest, scores.classes) != (unlabeled.fingerprint, classes):
        raise UserError(
            "selection.wrong_manifest",
            f"{selection_file} was created from another manifest than {unlabeled.file}, or other classes",
        )
    if len(selection.example_id) == 0:
        raise UserError("selection.empty", f"{selection_file} has no examples: there is nothing to train on")
    examples, offsets, labels = selection.examples()
    targets = Targets(offsets, labels, len(classes))
    return Lesson(unlabeled, examples, targets, classes)


def train_stage(
    folder: Path,
    lesson: Lesson,
    spec: NetworkSpec,
    *,
    recipe: Recipe,
    hflip_prob: float,
    random_resized_crop_scale: tuple[float, float] | None,
    seed: int,
    runtime: Runtime,
    log: Log,
    title: str,
    init_from: str | None = None,
    weakly_pretrained: bool = False,
) -> dict[str, Any]:
    """Train a network and leave it in `folder` as weights.pt.

    Args:
        folder: of the stage; a checkpoint in it is gone on from.
        lesson: what to learn.
        spec: of the network, with the classes of the training set.
        recipe: how to train.
        hflip_prob: probability of a horizontal flip.
        random_resized_crop_scale: share of a frame that a clip covers, see `Input`.
        seed: of the fresh weights, the order and the augmentation.
        runtime: what to run on.
        log: what is logged beside train.jsonl.
        title: for the progress bar.
        init_from: weights to begin with instead of fresh ones.
        weakly_pretrained: whether they were pre-trained on hashtags, though the file does not say so.

    Returns:
        Figures of the training.
    """
    torch.manual_seed(seed)
    model = spec.build()
    provenance: dict[str, Any] = {}
    begun_with, weak = None, False
    if init_from is not None:
        provenance["init_from"] = identity_of(init_from)  # not its path, so that a run elsewhere gives the same bytes
        weights = read_weights(init_from)
        begun_with = begin_with(model, spec, weights)
        weak = weights.learnt_hashtags or weakly_pretrained
        logger.info("%s begins with %s: %s", title, init_from, begun_with)
    check_decoder(spec.input.decoder)
    clips = TrainDataset(
        lesson.manifest,
        lesson.examples,
        lesson.targets,
        spec.input,
        hflip_prob=hflip_prob,
        random_resized_crop_scale=random_resized_crop_scale,
        seed=seed,
        clips_per_video=recipe.clips_per_video,
    )
    figures = train(model, clips, recipe, folder=folder, runtime=runtime, title=title, copies=lesson.copies, log=log)
    if weak or lesson.hashtags:
        provenance["hashtags"] = True
    provenance |= {"manifest": lesson.manifest.fingerprint, "recipe": recipe.model_dump(), "seed": seed}
    if processes().first:
        weights_file.save_weights(folder / WEIGHTS, model, spec, provenance)
    return figures if begun_with is None else {**figures, "begun_with": begun_with.document()}
