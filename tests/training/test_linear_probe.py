"""The linear probe: its validation split, how C is chosen, scikit-learn's own pipeline as reference."""

import logging
import tracemalloc

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidsemi.config import Cut, FcOnly
from vidsemi.data.split import validation_split
from vidsemi.io.errors import UserError
from vidsemi.training.linear_probe import LinearProbe, fit_linear_probe


def blobs(examples: int, classes: int, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes on scales that differ a thousandfold."""
    rng = np.random.default_rng(seed)
    labels = np.arange(examples) % classes
    centers = rng.normal(size=(classes, width))
    features = centers[labels] + rng.normal(scale=1.2, size=(examples, width))
    return (features * np.logspace(-1, 2, width) + 5).astype(np.float32), labels


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    classes: int | None = None,
    c_values: tuple[float, ...] = (1e-3, 0.1, 10.0),
    max_iterations: int = 1000,
) -> LinearProbe:
    return fit_linear_probe(
        features,
        labels,
        np.arange(len(labels)) if groups is None else groups,
        classes=classes or int(labels.max()) + 1,
        fc_only=FcOnly(c_values=c_values, validation=Cut(share=0.25), max_iterations=max_iterations),
        seed=3,
        title="t",
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1), st.floats(0.01, 0.99), st.integers(0, 9))
def test_whole_groups_are_taken_and_every_class_keeps_some(pairs: list[tuple[int, int]], fraction: float, seed: int):
    labels, groups = (np.array(column) for column in zip(*pairs, strict=True))
    groups += 10 * labels  # groups within a class
    cut = Cut(share=fraction)
    validation = validation_split(labels, groups, cut, seed)
    for label in set(labels):
        own = labels == label
        names = set(groups[own])
        out = {name for name in names if validation[own & (groups == name)].any()}
        assert all(validation[own & (groups == name)].all() for name in out)
        assert len(out) < len(names)
        assert out or len(names) == 1
        assert len(out) <= 1 or validation[own].sum() <= fraction * own.sum()
    assert (validation == validation_split(labels, groups, cut, seed)).all()


def test_a_fraction_of_every_class_is_taken():
    labels = np.repeat([0, 1, 2], [40, 20, 5])
    validation = validation_split(labels, np.arange(65), Cut(share=0.2), seed=0)
    assert np.bincount(labels[validation]).tolist() == [8, 4, 1]
    assert (validation != validation_split(labels, np.arange(65), Cut(share=0.2), seed=1)).any()


@pytest.mark.parametrize("classes", [2, 4])
def test_it_equals_scikit_learn(classes: int):
    """The same choice by a pipeline of scikit-learn's own, on the same validation split."""
    features, labels = blobs(200, classes)
    probe = fit(features, labels)
    validation = validation_split(labels, np.arange(200), Cut(share=0.25), 3)

    def reference(c: float, which: np.ndarray) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(
            features[which].astype(float), labels[which]
        )

    right = {
        c: 100 * reference(c, ~validation).score(features[validation].astype(float), labels[validation])
        for c in (1e-3, 0.1, 10.0)
    }
    assert probe.validation_top1 == pytest.approx(right)
    assert probe.c == min(c for c in right if right[c] == max(right.values()))
    assert probe.validation_examples == validation.sum() and probe.converged
    final = reference(probe.c, np.ones(200, bool))
    logits = probe.logits(features)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = final.predict_proba(features.astype(float))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), expected, atol=1e-6)


def test_ties_take_the_smaller_c():
    features, labels = blobs(80, 2, seed=1)
    features[:, 0] = labels * 1000  # so that all of them get everything right
    for values in ((10.0, 1.0, 100.0), (1.0, 10.0, 100.0)):
        assert fit(features, labels, c_values=values).c == 1.0


def test_a_single_value_is_taken_as_it_is():
    features, labels = blobs(40, 2)
    probe = fit(features, labels, c_values=(0.5,))
    assert (probe.c, probe.validation_examples, probe.validation_top1) == (0.5, 0, {})


def test_a_class_without_examples_is_never_predicted():
    features, labels = blobs(60, 2)
    logits = fit(features, 2 * labels, classes=4).logits(features)
    assert logits.shape == (60, 4)
    assert set(logits.argmax(axis=1)) <= {0, 2}


def test_constant_features_have_no_weight():
    """Zeros, and values whose mean is not exact, as scikit-learn's own scaler has it."""
    features, labels = blobs(100, 3)
    constant = np.tile(np.float32([0, 0.1, 1e6]), (100, 1))
    plain, more = fit(features, labels), fit(np.hstack([features, constant]), labels)
    np.testing.assert_allclose(more.weight[:, -3:], 0, atol=1e-9)
    np.testing.assert_allclose(more.weight[:, :-3], plain.weight, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(int(sklearn.__version__.split(".")[1]) < 9, reason="before 1.9 scikit-learn copies them twice more")
def test_one_copy_of_the_features_is_made():
    features, labels = blobs(4000, 2, width=128)
    fit(features[:100], labels[:100])  # what is loaded by the first fit does not count
    tracemalloc.start()
    try:
        fit(features, labels, max_iterations=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.75 * features.size * 8  # float64, beside what is chosen of the float32


def test_a_solver_that_does_not_converge_is_a_warning(caplog: pytest.LogCaptureFixture):
    features, labels = blobs(100, 3)
    with caplog.at_level(logging.WARNING, "vidsemi"):
        probe = fit(features, labels, max_iterations=1, c_values=(10.0,))
    assert not probe.converged
    assert "t, C = 10: the solver has not converged in 1 iterations" in caplog.text


def test_the_best_c_at_the_end_of_the_candidates_is_a_warning(caplog: pytest.LogCaptureFixture):
    features, labels = blobs(100, 3)
    with caplog.at_level(logging.WARNING, "vidsemi"):
        fit(features, labels, c_values=(1e-9, 1e-8, 10.0))
    assert "the best C, 10, is at the end" in caplog.text


@pytest.mark.parametrize(
    ("labels", "groups", "code"),
    [
        ([0, 0, 0], [1, 2, 3], "linear_probe.single_class"),
        ([0, 0, 1], [5, 5, 5], "linear_probe.no_validation_split"),
    ],
)
@pytest.mark.slow
def test_too_little_to_train_on_is_one_line(labels: list[int], groups: list[int], code: str):
    with pytest.raises(UserError) as error:
        fit(np.eye(3, dtype=np.float32), np.array(labels), np.array(groups), classes=2)
    assert error.value.code == code
