"""Measures how fast a network scores on this machine."""

import statistics
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.model import Inference

MIN_PASSES, MIN_SECONDS = 3, 1.0  # after one pass to warm up


@dataclass(frozen=True)
class Speed:
    """A measured speed.

    Attributes:
        clips_per_second: of the pass of median length.
        clips: per pass.
        passes: number of timed passes.
    """

    clips_per_second: float
    clips: int
    passes: int


def measure_speed(inference: Inference, spec: InputSpec, clips: int) -> Speed:
    """Time forward passes over random clips, from uint8 in host memory to softmax there; nothing is decoded.

    Args:
        inference: the network.
        spec: input of the network.
        clips: per pass.

    Raises:
        UserError: the device is out of memory.
    """
    shape = (clips, spec.frames, 3, spec.crop, spec.crop)
    batch = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    _pass_seconds(inference, batch)
    seconds: list[float] = []
    while len(seconds) < MIN_PASSES or sum(seconds) < MIN_SECONDS:
        seconds.append(_pass_seconds(inference, batch))
    return Speed(clips / statistics.median(seconds), clips, len(seconds))


def _pass_seconds(inference: Inference, batch: np.ndarray) -> float:
    begin = perf_counter()
    inference([batch]).cpu()  # copying the scores waits for a GPU
    return perf_counter() - begin
