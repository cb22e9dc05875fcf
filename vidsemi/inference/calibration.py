"""Calibration: whether predictions with a confidence of 70% are right in 70 of 100 cases."""

from dataclasses import dataclass

import numpy as np

BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True)
class Reliability:
    """Predictions by their confidence; each array is (bins,).

    Attributes:
        count: int64, predictions in the bin.
        confidence: float64, their mean confidence; NaN in an empty bin, as the next.
        accuracy: float64, the share of right ones.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, from 0 to 1; NaN without predictions.

        The mean over predictions of the difference between accuracy and mean confidence of their bin (Naeini et al.
        2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning").
        """
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.count[filled]))


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort predictions into bins of equal width by their confidence.

    Args:
        confidence: (N,) score of the predicted class, from 0 to 1. One on the edge of two bins is in the lower.
        correct: (N,) bool, whether that class is right.
        bins: their number.
    """
    values = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], values, side="left")
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weights=values, minlength=bins) / count
        accuracy = np.bincount(place, weights=correct.astype(np.float64), minlength=bins) / count
    return Reliability(count, mean, accuracy)
