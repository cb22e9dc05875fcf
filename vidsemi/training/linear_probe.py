"""Linear probe: logistic regression on frozen features, by scikit-learn; C is chosen on a validation split."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsemi.config import FcOnly
from vidsemi.data.manifest import Manifest
from vidsemi.data.split import group_numbers, validation_split
from vidsemi.inference.accuracy import accuracy, rank_of_label
from vidsemi.inference.evaluate import evaluation_metrics
from vidsemi.inference.features import read_features
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.models.features import head_name, linear_layer
from vidsemi.models.weights_file import NetworkSpec, fingerprint

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"
NEVER = -1e4  # bias of a class without training examples: no class ranks below it


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of features as the network outputs them."""

    weight: np.ndarray  # (classes, width) float64
    bias: np.ndarray  # (classes,) float64
    c: float  # inverse regularization strength
    validation_top1: dict[float, float]  # percent, for each candidate of C; empty if there was only one
    validation_examples: int
    converged: bool  # whether the solver did

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, width) → (N, classes) float64."""
        return _logits(features, self.weight, self.bias)


def train_linear_probe(
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
    """Fit a linear probe on the training set of a split, test it, and write `folder`/weights.pt with it as the head.

    Training examples without features, because their file cannot be read, are left out; such test examples count as
    wrong. `features` is the folder with those of all `manifests`: the training set and the test set of each split, in
    turn. `views` is the most views that any example's features are averaged over.

    Returns:
        The metrics of `evaluate_weights`, and train_read, train_total, c, validation_examples, validation_top1,
        converged.
    """
    own = slice(2 * split, 2 * split + 2)
    (train, test), (train_features, test_features) = manifests[own], read_features(features, manifests, own)
    classes = train.class_names()
    train_labels, test_labels = (manifest.label_indices(classes, str(train.file)) for manifest in (train, test))
    train_read, test_read = _has_features(train_features), _has_features(test_features)
    if not train_read.all():
        counts = (int(train_read.sum()), len(train_read))
        logger.warning("%s: only %d of %d training examples can be read; the others are left out", title, *counts)
        train_features = train_features[train_read]  # a copy, which may take many GB
    probe = fit_linear_probe(
        train_features,
        train_labels[train_read],
        group_numbers(train, fc_only.validation.group)[train_read],
        classes=len(classes),
        fc_only=fc_only,
        seed=seed,
        title=title,
    )
    network, spec = _with_head(weights, classes, probe)
    provenance = {"init_from": fingerprint(weights), "manifest": train.fingerprint, "c": probe.c}
    weights_file.save_weights(folder / WEIGHTS, network, spec, provenance)
    ranks = {
        example_id: rank_of_label(probe.logits(one), int(label)) if test_read[example_id] else None
        for example_id, (one, label) in enumerate(zip(test_features, test_labels, strict=True))
    }
    result = accuracy(ranks, test_labels)
    if result.read < result.total:
        counts = (result.read, result.total)
        logger.warning("%s: only %d of %d test examples can be read; the others count as wrong", title, *counts)
    return {
        **evaluation_metrics(result, network, spec, views=views, crops=1),
        "train_read": int(train_read.sum()),
        "train_total": len(train_read),
        "c": probe.c,
        "validation_examples": probe.validation_examples,
        "validation_top1": {f"{c:g}": top1 for c, top1 in probe.validation_top1.items()},
        "converged": probe.converged,
    }


def _has_features(features: np.ndarray) -> np.ndarray:
    """(N,) bool: which rows of `read_features` are not NaN."""
    return ~np.isnan(features.sum(axis=1)) if features.size else np.zeros(len(features), bool)


def _with_head(weights: Path, classes: list[str], probe: LinearProbe) -> tuple[torch.nn.Module, NetworkSpec]:
    """The network with the probe as its head. For one view its logits are the probe's."""
    before, spec = weights_file.load_weights(weights)
    spec = replace(spec, classes=classes)
    network = spec.build()
    kept = {name: value for name, value in before.state_dict().items() if name not in spec.head_keys}
    network.load_state_dict(kept, strict=False)
    head = linear_layer(network, head_name(spec))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(probe.weight))
        head.bias.copy_(torch.from_numpy(probe.bias))
    return network, spec


def fit_linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    classes: int,
    fc_only: FcOnly,
    seed: int,
    title: str,
) -> LinearProbe:
    """Choose C on a validation split of the training data, then fit on all of it.

    Features are standardized (zero mean and unit variance over the examples fitted on), because the penalty treats them
    all alike, whatever their scale, and the solver then needs many times fewer iterations. The returned weight and bias
    include the standardization. A class without examples is never predicted.

    Features are (N, width) float32, labels (N,) class indices, groups (N,) those of `validation_split`.

    Raises:
        UserError: there are fewer than two classes, or there is no validation split.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise UserError("linear_probe.single_class", f"{title}: a linear probe needs readable examples of two classes")
    candidates, top1, validation = sorted(fc_only.c_values), {}, np.zeros(len(labels), bool)
    fits = len(candidates) + 1 if len(candidates) > 1 else 1
    with progress_bar(fits, "fit", title, delay=2) as bar:
        if len(candidates) > 1:
            validation = validation_split(labels, groups, fc_only.validation, seed)
            if not validation.any():
                raise UserError(
                    "linear_probe.no_validation_split",
                    f"{title}: no class has two groups, of which to validate on one; give fc_only.c_values one value",
                )
            for c in candidates:
                weight, bias, _ = _fit(features, labels, ~validation, c, fc_only.max_iterations, title)
                predicted = present[_logits(features[validation], weight, bias).argmax(axis=1)]
                top1[c] = 100 * float((predicted == labels[validation]).mean())
                bar.update()
        c = max(candidates, key=lambda value: (top1.get(value, 0.0), -value))
        own_weight, own_bias, converged = _fit(features, labels, slice(None), c, fc_only.max_iterations, title)
        bar.update()
    if len(candidates) > 2 and c in (candidates[0], candidates[-1]):
        logger.warning(
            "%s: the best C, %g, is at the end of fc_only.c_values; values beyond it may be better", title, c
        )
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, NEVER)
    weight[present], bias[present] = own_weight, own_bias
    return LinearProbe(weight, bias, c, top1, int(validation.sum()), converged)


def _fit(
    features: np.ndarray, labels: np.ndarray, which: np.ndarray | slice, c: float, max_iterations: int, title: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Weight and bias over the classes that occur, for features as they come, and whether the solver converged.

    A million examples take many GB, so there is one float64 copy, which is standardized in place; scikit-learn's
    StandardScaler makes two more.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scaled = features[which].astype(np.float64)
    mean = scaled.mean(axis=0)
    scaled -= mean
    scale = np.sqrt(np.einsum("ij,ij->j", scaled, scaled) / len(scaled))
    scale[scale <= 1e-12 * np.abs(mean)] = 1  # constant but for rounding; float32 values that differ are further apart
    scaled /= scale
    model = LogisticRegression(C=c, max_iter=max_iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(scaled, labels[which])
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if not converged:
        hint = "increase fc_only.max_iterations"
        logger.warning(
            "%s, C = %g: the solver has not converged in %d iterations; %s", title, c, model.n_iter_.max(), hint
        )
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # of two classes, the second against the first
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    weight = coefficients / scale
    return weight, intercepts - weight @ mean, converged


def _logits(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    logits: np.ndarray = features.astype(np.float64) @ weight.T + bias
    return logits
