"""The regressor stage: features of training and test set → accuracy of a logistic regressor, and a network with it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsemi.config import FcOnly
from vidsemi.data.groups import groups_of
from vidsemi.data.manifest import Manifest
from vidsemi.inference.accuracy import accuracy, rank_of_label
from vidsemi.inference.evaluate import evaluation_metrics
from vidsemi.inference.features import read_features
from vidsemi.io.files import fingerprint_file
from vidsemi.models import weights_file
from vidsemi.models.features import head_name, linear_layer
from vidsemi.models.registry import head_keys
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.training.linear_probe import Regressor, fit_regressor

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"


def regress_stage(
    folder: Path,
    *,
    weights: Path,
    features: Path,
    manifests: Sequence[Manifest],
    split: int,
    fc_only: FcOnly,
    views: int,
    seed: int,
    title: str,
) -> dict[str, Any]:
    """Fit a regressor on the training set of a split and test it; leave the network with it as head as weights.pt.

    A training example that could not be read is left out, a test example counts as wrong; both are counted.

    Args:
        folder: of the stage.
        weights: of the network that gave the features.
        features: folder of the features stage.
        manifests: that that stage read: the training and the test set of each split, in turn.
        split: number of the one to train on and to test, from 0.
        fc_only: how the regressor is fitted.
        views: the most that any example's features are the mean of.
        seed: of what is held out.
        title: for messages.

    Returns:
        The figures of `evaluate_weights`, and train_read, train_total, c, held_out, held_out_top1, converged.

    Raises:
        UserError: too little of the training set can be read.
    """
    pair = slice(2 * split, 2 * split + 2)
    (train_set, test_set), (train, test) = manifests[pair], read_features(features, manifests, pair)
    classes = train_set.class_names()
    labels = train_set.label_indices(classes, str(train_set.file))
    there, tested = _readable(train), _readable(test)
    if not there.all():
        logger.warning(
            "%s: only %d of %d training examples can be read; the others are left out", title, there.sum(), len(there)
        )
        train = train[there]  # a copy, which may be of many GB
    regressor = fit_regressor(
        train,
        labels[there],
        groups_of(train_set, fc_only.group)[there],
        classes=len(classes),
        c_values=fc_only.c_values,
        share=fc_only.held_out,
        max_iterations=fc_only.max_iterations,
        seed=seed,
        title=title,
    )
    network, spec = _with_regressor(weights, classes, regressor)
    provenance = {"init_from": fingerprint_file(weights), "manifest": train_set.fingerprint, "c": regressor.c}
    weights_file.save_weights(folder / WEIGHTS, network, spec, provenance)
    test_labels = test_set.label_indices(classes, str(train_set.file))
    ranks = {
        example_id: rank_of_label(regressor.logits(own), int(label)) if tested[example_id] else None
        for example_id, (own, label) in enumerate(zip(test, test_labels, strict=True))
    }
    result = accuracy(ranks, test_labels)
    if result.read < result.total:
        logger.warning(
            "%s: only %d of %d test examples can be read; the others count as wrong", title, result.read, result.total
        )
    return {
        **evaluation_metrics(result, network, spec, views=views, crops=1),
        "train_read": int(there.sum()),
        "train_total": len(there),
        "c": regressor.c,
        "held_out": regressor.held_out,
        "held_out_top1": {f"{c:g}": top1 for c, top1 in regressor.held_out_top1.items()},
        "converged": regressor.converged,
    }


def _readable(features: np.ndarray) -> np.ndarray:
    """(N,) bool: whose features are all numbers, of what `read_features` gives."""
    return ~np.isnan(features.sum(axis=1)) if features.size else np.zeros(len(features), bool)


def _with_regressor(weights: Path, classes: list[str], regressor: Regressor) -> tuple[torch.nn.Module, NetworkSpec]:
    """The network whose head the regressor is. Of an image it says what the regressor says of its features."""
    before, spec = weights_file.load_weights(weights)
    keys = head_keys(spec.model, frames=spec.input.frames, args=spec.args)
    spec = replace(spec, classes=classes)
    network = spec.build()
    kept = {name: value for name, value in before.state_dict().items() if name not in keys}
    network.load_state_dict(kept, strict=False)
    head = linear_layer(network, head_name(keys, network, spec.model))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(regressor.weight))
        head.bias.copy_(torch.from_numpy(regressor.bias))
    return network, spec
