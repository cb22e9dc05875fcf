"""When each frame of a video is shown, counted from the first one, also where the container's time stamps mislead."""

import math
from array import array
from typing import Any

import numpy as np
from av import VideoFrame, VideoStream
from av.container import InputContainer

# Seconds. A longer step back is a restart of the clock, and in containers in which that is usual so is a longer step
# forward. Numbers and containers are those of FFmpeg's command line.
BACKWARD, FORWARD = 0.1, 10.0
RESTARTING = ("mpegts", "mpeg", "ogg")


class Stamps:
    """The time stamps of the decoded frames of a video, in 24 bytes each: a small file may have millions."""

    def __init__(self) -> None:
        self._values = array("d")

    def add(self, frame: VideoFrame) -> None:
        """Append those of a frame: `pts`, `dts`, and the `dts` of the packet that holds it; NaN if there is none."""
        held: Any = frame.opaque
        self._values.extend(math.nan if stamp is None else stamp for stamp in (frame.pts, frame.dts, held))

    def __len__(self) -> int:
        return len(self._values) // 3

    def columns(self) -> np.ndarray:
        """(3, n) float64."""
        return np.frombuffer(self._values).reshape(-1, 3).T


def has_presentation_times(container: InputContainer) -> bool:
    """Whether packets say when they are shown. AVI only orders them; FFmpeg derives the times from that order."""
    return container.format.name != "avi"


def frame_times(stamps: Stamps, container: InputContainer, stream: VideoStream) -> np.ndarray:
    """Time stamps of all frames relative to the first one's, (n,) float64, in presentation order.

    The stream's decoder must have decoded them, since it learns on the way by how much frames are reordered. Raises a
    `ValueError` if there are no time stamps.
    """
    if not len(stamps):
        return np.zeros(0)
    shown, decoded, held = stamps.columns()
    if not has_presentation_times(container) and not np.isnan(held).any():
        return _delayed(np.sort(held), stream.codec_context.reorder_depth)
    # as in FFmpeg, but counted over the whole file
    chosen = shown if _faults(shown) + np.isnan(shown).sum() <= _faults(decoded) else decoded
    if np.isnan(chosen).all():
        chosen = shown
    return continuous(_filled(chosen), container, stream)


def continuous(stamps: np.ndarray, container: InputContainer, stream: VideoStream) -> np.ndarray:
    """Time stamps relative to the first one, (n,) float64, as if the clock had never restarted.

    `stamps` are in presentation order. The frame after a restart follows the one before it by the usual step.
    """
    stamps = stamps.astype(float)
    assert stream.time_base is not None
    backward = float(BACKWARD / stream.time_base)
    forward = float(FORWARD / stream.time_base) if container.format.name in RESTARTING else np.inf
    before, own, after = stamps[:-2], stamps[1:-1], stamps[2:]
    between = np.where(before <= after, np.clip(own, before, after), own)
    stamps[1:-1] = np.where(abs(between - own) > backward, between, own)  # one wrong stamp is not a restart
    steps = np.diff(stamps)
    steps[(steps < -backward) | (steps > forward)] = _usual(steps)
    return np.concatenate([np.zeros(min(len(stamps), 1)), np.cumsum(steps)])


def _delayed(slots: np.ndarray, delay: int) -> np.ndarray:
    """Times of the frames in an AVI: a picture comes out of the decoder some packets after it went in.

    So frame i is shown when packet i + delay is read. `slots` are the places of all packets that hold a frame, sorted:
    places between them are empty for frames that the encoder dropped.
    """
    slots = np.concatenate([slots, slots[-1] + np.arange(1, delay + 1)])
    shifted: np.ndarray = slots[delay:] - slots[delay]
    return shifted


def _faults(stamps: np.ndarray) -> int:
    """Steps that do not go forward."""
    return int((np.diff(stamps[~np.isnan(stamps)]) <= 0).sum())


def _filled(stamps: np.ndarray) -> np.ndarray:
    """Missing stamps replaced by the one before, or after, and the usual step."""
    missing = np.isnan(stamps)
    if missing.all():
        raise ValueError("no time stamps, so it cannot be trimmed")
    if missing.any():
        places = np.flatnonzero(~missing)
        nearest = places[np.clip(np.searchsorted(places, np.arange(len(stamps)), side="right") - 1, 0, None)]
        stamps = stamps[nearest] + (np.arange(len(stamps)) - nearest) * _usual(np.diff(stamps[places]))
    return stamps


def _usual(steps: np.ndarray) -> float:
    forward = steps[steps > 0]
    return float(np.median(forward)) if len(forward) else 1.0
