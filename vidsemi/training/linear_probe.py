"""A logistic regressor on features, by scikit-learn; its penalty is chosen on a held-out part of its training data."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar

logger = logging.getLogger("vidsemi")

NEVER = -1e4  # bias of a class without a training example: no other class comes after it


@dataclass(frozen=True)
class Regressor:
    """A linear classifier of features as they come from the network.

    Attributes:
        weight: (classes, width) float64.
        bias: (classes,) float64.
        c: inverse strength of the penalty.
        held_out_top1: percent of the held-out examples that each value of C gets right; empty where there was one.
        held_out: number of them.
        converged: whether the solver did.
    """

    weight: np.ndarray
    bias: np.ndarray
    c: float
    held_out_top1: dict[float, float]
    held_out: int
    converged: bool

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, width) → (N, classes) float64."""
        return _logits(features, self.weight, self.bias)


def hold_out(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose what is held out, (N,) bool: of each class whole groups in a random order, as many as fit into the share.

    A class with several groups has at least one held out, and always keeps one; a class with one group keeps it.

    Args:
        labels: (N,) class indices.
        groups: (N,) what belongs together within a class.
        share: of each class's examples, below 1.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        names, group, sizes = np.unique(groups[own], return_inverse=True, return_counts=True)
        order = rng.permutation(len(names))
        fit = int((np.cumsum(sizes[order]) <= share * len(own)).sum())
        taken = order[: max(fit, 1)] if len(names) > 1 else order[:0]
        chosen[own] = np.isin(group, taken)
    return chosen


def fit_regressor(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    classes: int,
    c_values: Sequence[float],
    share: float,
    max_iterations: int,
    seed: int,
    title: str,
) -> Regressor:
    """Choose C on a held-out part of the training data, then fit on all of it.

    Features are standardised (zero mean and unit variance over what is fitted on), since the penalty treats all alike,
    whatever scale the network gives them, and the solver takes many times fewer iterations then. The standardisation
    is part of the weights and the bias that come out.

    Args:
        features: (N, width) float32.
        labels: (N,) class indices.
        groups: (N,) see `hold_out`.
        classes: number of them; one without an example is never the best.
        c_values: to choose from.
        share: of the examples that is held out.
        max_iterations: of the solver.
        seed: of what is held out.
        title: for messages and the progress bar.

    Raises:
        UserError: there are fewer than two classes, or nothing can be held out.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise UserError(f"{title}: examples of {len(present)} class can be read, and a regressor needs two")
    values, right, held = sorted(c_values), {}, np.zeros(len(labels), bool)
    with progress_bar(len(values) + 1 if len(values) > 1 else 1, "fit", title, delay=2) as bar:
        if len(values) > 1:
            held = hold_out(labels, groups, share, seed)
            if not held.any():
                raise UserError(
                    f"{title}: every class has one group of examples, so nothing can be held out to choose C by; "
                    "give fc_only.c_values a single value"
                )
            for c in values:
                weight, bias, _ = _fit(features, labels, ~held, c, max_iterations, f"{title}, C = {c:g}")
                best = present[_logits(features[held], weight, bias).argmax(axis=1)]
                right[c] = 100 * float((best == labels[held]).mean())
                bar.update()
        c = max(values, key=lambda value: (right.get(value, 0.0), -value))
        everything = slice(None)
        own_weight, own_bias, converged = _fit(features, labels, everything, c, max_iterations, f"{title}, C = {c:g}")
        bar.update()
    if len(values) > 2 and c in (values[0], values[-1]):
        logger.warning(
            "%s: the best C, %g, is at the end of fc_only.c_values; values beyond it may be better still", title, c
        )
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, NEVER)
    weight[present], bias[present] = own_weight, own_bias
    return Regressor(weight, bias, c, right, int(held.sum()), converged)


def _fit(
    features: np.ndarray, labels: np.ndarray, which: np.ndarray | slice, c: float, max_iterations: int, title: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Weight and bias over the classes that occur, for features as they come, and whether the solver converged.

    A million examples are many GB, so there is one float64 copy, in which they are standardised; scikit-learn's
    StandardScaler makes two more.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scaled = features[which].astype(np.float64)
    mean = scaled.mean(axis=0)
    scaled -= mean
    scale = np.sqrt(np.einsum("ij,ij->j", scaled, scaled) / len(scaled))
    scale[scale <= 1e-12 * np.abs(mean)] = 1  # always the same but for rounding; float32 that differ are further apart
    scaled /= scale
    model = LogisticRegression(C=c, max_iter=max_iterations)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(scaled, labels[which])
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in said)
    if not converged:
        logger.warning(
            "%s: the regressor has not converged in %d iterations; raise fc_only.max_iterations",
            title,
            int(model.n_iter_.max()),
        )
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # of two classes, the second against the first
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    weight = coefficients / scale
    return weight, intercepts - weight @ mean, converged


def _logits(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return features.astype(np.float64) @ weight.T + bias
