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
    """A measured speed."""

    clips_per_second: float  # of the pass of median length
    clips: int  # per pass
    passes: int  # timed ones


def measure_speed(inference: Inference, spec: InputSpec, clips: int) -> Speed:
    """Time forward passes over random clips, from uint8 in host memory to softmax there; nothing is decoded."""
    shape = (clips, spec.frames, 3, spec.crop, spec.crop)
    batch = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    seconds: list[float] = []
    inference([batch]).cpu()
    while len(seconds) < MIN_PASSES or sum(seconds) < MIN_SECONDS:
        begin = perf_counter()
        inference([batch]).cpu()  # copying the scores waits for a GPU
        seconds.append(perf_counter() - begin)
    return Speed(clips / statistics.median(seconds), clips, len(seconds))
