"""A training stage: of the teacher or a student, from scratch or from other weights, on labels or on a selection."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsemi.config import Input, Machine, Network, Recipe
from vidsemi.corpus.manifest import Manifest
from vidsemi.engine import checkpoint
from vidsemi.engine.train import CHECKPOINT, train
from vidsemi.errors import UserError
from vidsemi.media.backends import check_decoder
from vidsemi.media.datasets import Targets, TrainClips
from vidsemi.selection.result import read_selection
from vidsemi.stages.corpora import Corpora
from vidsemi.stages.networks import begin_with, identity_of, network_spec

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"
Lesson = tuple[Manifest, np.ndarray, Targets]  # examples of a manifest and what they teach


def labeled_lesson(corpora: Corpora) -> Lesson:
    """All of D with its true labels."""
    labels = corpora.labeled.label_indices(corpora.classes, str(corpora.labeled.file))
    return corpora.labeled, np.arange(len(labels)), Targets.single(labels, len(corpora.classes))


def selected_lesson(corpora: Corpora, selection_file: Path) -> Lesson:
    """D̂: each chosen example of U once, with target 1/k on each of the k classes that took it.

    Raises:
        UserError: the selection was made from another U or other classes, or nothing was chosen.
    """
    assert corpora.unlabeled is not None  # the config asks for it where a selection is made
    selection = read_selection(selection_file)
    if (selection.info.scores.manifest, selection.info.scores.classes) != (
        corpora.unlabeled.fingerprint,
        corpora.classes,
    ):
        raise UserError(
            f"{selection_file} was made from another manifest than {corpora.unlabeled.file}, or other classes"
        )
    if len(selection.example_id) == 0:
        raise UserError(f"{selection_file} holds no examples: there is nothing to learn from")
    examples, offsets, labels = selection.examples()
    return corpora.unlabeled, examples, Targets(offsets, labels, len(corpora.classes))


def train_stage(
    folder: Path,
    lesson: Lesson,
    *,
    network: Network,
    input: Input,
    classes: list[str],
    recipe: Recipe,
    seed: int,
    machine: Machine,
    title: str,
    init_from: str | None = None,
) -> dict[str, Any]:
    """Train a network and leave it in `folder` as weights.pt.

    Args:
        folder: of the stage; a checkpoint in it is gone on from.
        lesson: what to learn.
        network: what learns it.
        input: what networks take in.
        classes: names of the outputs.
        recipe: how to train.
        seed: of the fresh weights, the order and the augmentation.
        machine: what to run on.
        title: for the progress bar.
        init_from: weights to begin with instead of fresh ones.

    Returns:
        Figures of the training.
    """
    spec = network_spec(network, input, classes)
    torch.manual_seed(seed)
    model = spec.build()
    provenance: dict[str, Any] = {}
    begun_with = None
    if init_from is not None:
        provenance["init_from"] = identity_of(init_from)  # not its path, so that a run elsewhere gives the same bytes
        begun_with = begin_with(model, spec, init_from)
        logger.info("%s begins with %s: %s", title, init_from, begun_with)
    manifest, examples, targets = lesson
    check_decoder(spec.input.decoder)
    clips = TrainClips(
        manifest,
        examples,
        targets,
        spec.input,
        flip=input.flip,
        seed=seed,
        clips_per_video=recipe.clips_per_video,
    )
    figures = train(model, clips, recipe, folder=folder, machine=machine, title=title)
    provenance |= {"manifest": manifest.fingerprint, "recipe": recipe.model_dump(), "seed": seed}
    checkpoint.save_weights(folder / WEIGHTS, model, spec, provenance)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return figures if begun_with is None else {**figures, "begun_with": begun_with.document()}
