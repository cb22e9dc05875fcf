"""How fast a network scores on this machine."""

import statistics
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.model import Inference

PASSES, SECONDS = 3, 1.0  # at least, after one to warm up


@dataclass(frozen=True)
class Speed:
    """What a measurement came to.

    Attributes:
        clips_per_second: of the pass of median length.
        clips: in a pass.
        passes: that were timed.
    """

    clips_per_second: float
    clips: int
    passes: int


def measure_speed(inference: Inference, spec: InputSpec, clips: int) -> Speed:
    """Time passes over random clips, from uint8 in the memory of the host to softmax there; nothing is decoded.

    Args:
        inference: the network as scoring uses it.
        spec: what the network takes in.
        clips: in a pass.

    Raises:
        UserError: so many clips do not fit into the device's memory.
    """
    shape = (clips, spec.frames, 3, spec.crop, spec.crop)
    batch = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    _pass_seconds(inference, batch)
    seconds: list[float] = []
    while len(seconds) < PASSES or sum(seconds) < SECONDS:
        seconds.append(_pass_seconds(inference, batch))
    return Speed(clips / statistics.median(seconds), clips, len(seconds))


def _pass_seconds(inference: Inference, batch: np.ndarray) -> float:
    begin = perf_counter()
    inference([batch]).cpu()  # to copy the scores is to wait for a GPU
    return perf_counter() - begin
