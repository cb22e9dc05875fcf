"""A look at a few videos of many: how long, how fast, and whether they can be opened. Nothing is decoded."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidsemi.data.video.container import Source, decode_errors, open_video
from vidsemi.io.errors import DecodeError


@dataclass(frozen=True)
class Sample:
    """Medians of the videos that were opened; None where no container tells."""

    opened: int
    seconds: float | None
    rate: float | None  # frames per second
    frames: int | None
    errors: list[str]  # of the others

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in ("opened", "seconds", "rate", "frames", "errors")}

    def __str__(self) -> str:
        if not self.opened:
            return f"none of {len(self.errors)} videos can be opened"
        parts = [f"{self.seconds:.3g} s"] if self.seconds else []
        parts += [f"{self.rate:.4g} frames/s"] if self.rate else []
        failed = f", {len(self.errors)} more cannot be opened" if self.errors else ""
        return f"{self.opened} were opened: {', '.join(parts) or 'of unknown length'} (median){failed}"


def sample_videos(paths: Sequence[str], most: int) -> Sample:
    """Open up to so many videos, evenly spread over the list, and read what their containers announce."""
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    seconds, rates, frames, errors = [], [], [], []
    for path in (paths[place] for place in places):
        try:
            length, rate = _announced(path)
        except DecodeError as error:
            errors.append(str(error))
            continue
        seconds.append(length)
        rates.append(rate)
        frames.append(length * rate if length and rate else None)
    count = _median(frames)
    return Sample(len(seconds), _median(seconds), _median(rates), round(count) if count else None, errors)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value]
    return statistics.median(known) if known else None


def _announced(path: str) -> tuple[float | None, float | None]:
    """Seconds and frames per second, by the container."""
    with decode_errors(path), open_video(Source(path)) as (container, stream):
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = container.duration / 1_000_000 if container.duration else 0.0
        rate = float(stream.average_rate) if stream.average_rate else 0.0
        return (seconds if seconds > 0 else None), (rate if rate > 0 else None)
