"""Training metrics: loss, accuracy, gradient norm, throughput; detects a NaN or infinite loss.

Results are fetched from the device one step late, so that a GPU does not wait for the CPU.
"""

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vidsemi.runtime.device import Fetched

RECENT = 50  # steps over which the loss that is shown is averaged
SHOWN_IDS = 20


@dataclass(frozen=True)
class Step:
    """An optimizer step that was started and may still be running on the device."""

    number: int  # from 1
    start: int  # examples before it
    clips: int
    learning_rate: float
    example_ids: list[int]  # of this process's share
    result: torch.Tensor  # (3,) from `TrainStep.run`


class NotFiniteError(Exception):
    """The loss or gradient norm of a step is NaN or infinite."""

    def __init__(self, step: Step, loss: float, gradient_norm: float):
        more = len(step.example_ids) - SHOWN_IDS
        ids = ", ".join(map(str, step.example_ids[:SHOWN_IDS])) + (f" and {more} more" if more > 0 else "")
        super().__init__(
            f"loss {loss}, gradient norm {gradient_norm} at step {step.number}, after {step.start} examples, learning "
            f"rate {step.learning_rate:g} (example ids {ids})"
        )
        self.step = step


class Metrics:
    """Collects the results of steps; `losses` are those of the last 50 steps, also of the run that is resumed."""

    def __init__(self, losses: Iterable[float] = ()):
        self.losses = deque(losses, maxlen=RECENT)
        self._running: deque[tuple[Step, Fetched]] = deque()
        self._start_window(0.0)

    @property
    def loss(self) -> float:
        """Mean loss of the last 50 steps."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")

    def add(self, step: Step) -> None:
        """Add a step, and fetch the result of the one before it; raises `NotFiniteError`."""
        self._running.append((step, Fetched(step.result)))
        if len(self._running) > 1:
            self._fetch(*self._running.popleft())

    def flush(self) -> None:
        """Wait for all steps, before a checkpoint: none is written after a NaN loss, which is a `NotFiniteError`."""
        while self._running:
            self._fetch(*self._running.popleft())

    def window(self, waited: float) -> dict[str, float]:
        """Means over the steps since the last call; `waited`: seconds that the run has waited for data so far."""
        self.flush()
        seconds, steps, clips = max(time.monotonic() - self._begin, 1e-9), max(self._steps, 1), max(self._clips, 1)
        means = {
            "loss": self._loss / steps,
            "accuracy": self._num_correct / clips,
            "gradient_norm": self._gradient_norm / steps,
            "waited": (waited - self._waited_before) / seconds,
            "clips_per_second": self._clips / seconds,
        }
        self._start_window(waited)
        return means

    def _start_window(self, waited: float) -> None:
        self._begin, self._waited_before = time.monotonic(), waited
        self._steps, self._clips, self._loss, self._num_correct, self._gradient_norm = 0, 0, 0.0, 0.0, 0.0

    def _fetch(self, step: Step, fetched: Fetched) -> None:
        loss, num_correct, gradient_norm = fetched.tensor().tolist()
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise NotFiniteError(step, loss, gradient_norm)
        self.losses.append(loss)
        self._steps += 1
        self._clips += step.clips
        self._loss += loss
        self._num_correct += num_correct
        self._gradient_norm += gradient_norm
