"""Measuring speed: against a clock that the test moves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vidsemi.inference import speed
from vidsemi.inference.model import Inference
from vidsemi.inference.speed import measure_speed
from vidsemi.models.weights_file import load_weights


@pytest.mark.parametrize(
    ("seconds", "passes", "median"),
    [([9, 0.5, 0.25, 2], 3, 0.5), ([9, 0.25, 0.25, 0.25, 0.25], 4, 0.25), ([1, 9, 5, 7], 3, 7)],
)
def test_the_median_of_enough_passes_after_the_first(
    seconds: list[float], passes: int, median: float, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    """At least three, and at least a second together; the first pass, which warms up, does not count."""
    spec = load_weights(weights)[1].input
    now, left = 0.0, list(seconds)

    class Passes(Inference):
        def __init__(self) -> None:
            pass

        def __call__(self, clips: list[np.ndarray]) -> torch.Tensor:  # type: ignore[override]
            nonlocal now
            now += left.pop(0)
            assert clips[0].shape == (6, 4, 3, 16, 16) and clips[0].dtype == np.uint8
            return torch.zeros(6, 8)

    monkeypatch.setattr(speed, "perf_counter", lambda: now)
    found = measure_speed(Passes(), spec, 6)
    assert (found.clips_per_second, found.clips, found.passes) == (6 / median, 6, passes)
    assert not left


@pytest.mark.slow
def test_a_network_has_a_speed(weights: Path):
    network, spec = load_weights(weights)
    found = measure_speed(Inference(network, spec.input, torch.device("cpu")), spec.input, 3)
    assert found.clips_per_second > 0 and found.clips == 3 and found.passes >= 3
