"""The expected calibration error, beside torchmetrics, scikit-learn and a loop over fractions."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from vidsemi.inference.calibration import reliability

PREDICTIONS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


def arrays(predictions: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = zip(*predictions, strict=True)
    return np.array(confidence, np.float32), np.array(correct)


@given(PREDICTIONS, st.sampled_from([1, 2, 4, 8, 16]))  # whose edges are exact in binary
def test_the_error_is_that_of_its_definition(predictions: list[tuple[float, bool]], bins: int):
    expected = Fraction(0)
    for number in range(bins):
        low, high = Fraction(number, bins), Fraction(number + 1, bins)
        own = [
            (Fraction(confidence), right)
            for confidence, right in predictions
            if low < Fraction(confidence) <= high or (number == 0 and confidence == 0)
        ]
        expected += abs(sum((confidence for confidence, _ in own), Fraction(0)) - sum(right for _, right in own))
    found = reliability(*arrays(predictions), bins=bins)
    assert found.error == pytest.approx(float(expected / len(predictions)), abs=1e-9)
    assert found.count.sum() == len(predictions)


def test_other_libraries_agree():
    random = np.random.default_rng(0)
    confidence = random.random(5000).astype(np.float32)
    correct = random.random(5000) < confidence**1.5
    found = reliability(confidence, correct)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    np.testing.assert_allclose(found.accuracy, accuracy)
    np.testing.assert_allclose(found.confidence, mean, rtol=1e-6)
    functional = pytest.importorskip("torchmetrics.functional.classification")
    probabilities, labels = torch.tensor(confidence), torch.tensor(correct.astype(int))
    error = functional.binary_calibration_error(probabilities, labels, n_bins=15)
    assert found.error == pytest.approx(float(error), abs=1e-6)


def test_nothing_predicted_has_no_error():
    assert np.isnan(reliability(np.zeros(0, np.float32), np.zeros(0, bool)).error)
