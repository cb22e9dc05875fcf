"""How a training goes. Losses are fetched from the device a step late, so that a GPU need not wait for the next."""

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vidsemi.io.errors import UserError

RECENT = 50  # steps whose mean loss is shown
SHOWN_IDS = 20  # of a step that went wrong


@dataclass(frozen=True)
class Step:
    """A step that has been begun, and may still be under way on the device.

    Attributes:
        number: from 1.
        begin: clips before it.
        clips: clips of it.
        rate: its learning rate.
        example_ids: of this process's share.
        outcome: what `Learner.step` gave.
    """

    number: int
    begin: int
    clips: int
    rate: float
    example_ids: list[int]
    outcome: torch.Tensor


class NotFiniteError(UserError):
    """A step's loss or gradient is no number.

    Attributes:
        step: that step.
    """

    def __init__(self, message: str, step: Step):
        super().__init__(message)
        self.step = step


class Fetched:
    """Numbers that are copied from the device when they are ready, while it goes on."""

    def __init__(self, numbers: torch.Tensor):
        self._numbers = numbers.detach().to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if numbers.is_cuda else None
        if self._copied:
            self._copied.record()

    def values(self) -> list[float]:
        """The numbers, once they are there."""
        if self._copied:
            self._copied.synchronize()
        return self._numbers.tolist()


class Meter:
    """Takes steps and tells what came of them.

    Args:
        losses: of the last steps of a training that goes on.

    Attributes:
        losses: of the last steps, for `loss`.
    """

    def __init__(self, losses: Iterable[float] = ()):
        self.losses = deque(losses, maxlen=RECENT)
        self._under_way: deque[tuple[Step, Fetched]] = deque()
        self._start_window(0.0)

    @property
    def loss(self) -> float:
        """Mean loss of the last steps."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")

    def add(self, step: Step) -> None:
        """Take a step, and look at the one before it.

        Raises:
            NotFiniteError: that one was not.
        """
        self._under_way.append((step, Fetched(step.outcome)))
        if len(self._under_way) > 1:
            self._look_at(*self._under_way.popleft())

    def settle(self) -> None:
        """Look at all steps; before a checkpoint, so that none holds what is not finite.

        Raises:
            NotFiniteError: one was not.
        """
        while self._under_way:
            self._look_at(*self._under_way.popleft())

    def window(self, waited: float) -> dict[str, float]:
        """Means over the steps since this was asked last.

        Args:
            waited: seconds that the training has waited for data in all.
        """
        self.settle()
        seconds, steps, clips = max(time.monotonic() - self._begin, 1e-9), max(self._steps, 1), max(self._clips, 1)
        means = {
            "loss": self._loss / steps,
            "accuracy": self._right / clips,
            "gradient_norm": self._slope / steps,
            "waited": (waited - self._waited_before) / seconds,
            "clips_per_second": self._clips / seconds,
        }
        self._start_window(waited)
        return means

    def _start_window(self, waited: float) -> None:
        self._begin, self._waited_before = time.monotonic(), waited
        self._steps, self._clips, self._loss, self._right, self._slope = 0, 0, 0.0, 0.0, 0.0

    def _look_at(self, step: Step, fetched: Fetched) -> None:
        loss, right, slope = fetched.values()
        if not (math.isfinite(loss) and math.isfinite(slope)):
            more = len(step.example_ids) - SHOWN_IDS
            ids = ", ".join(map(str, step.example_ids[:SHOWN_IDS])) + (f" and {more} more" if more > 0 else "")
            raise NotFiniteError(
                f"training stopped: loss {loss}, gradient norm {slope} in step {step.number}, after {step.begin} "
                f"examples, at a learning rate of {step.rate:g} (example ids {ids}); lower the learning rate or set "
                "max_grad_norm, in another output or after deleting this stage's folder, whose last checkpoint is from "
                "before it",
                step,
            )
        self.losses.append(loss)
        self._steps, self._clips = self._steps + 1, self._clips + step.clips
        self._loss, self._right, self._slope = self._loss + loss, self._right + right, self._slope + slope
