"""Wishes that a training should end: they are heard at once and obeyed after the step and a checkpoint."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from vidsemi.runtime.library_errors import is_lost_peer

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; a scheduler that needs the machine, or torchrun


class StopSignals:
    """A context in which these signals are noted. A second Ctrl-C acts at once; torchrun's SIGTERM often comes twice.

    Attributes:
        caught: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # no signal reaches another one
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._before = {number: each for number, each in handlers.items() if each not in (signal.SIG_IGN, None)}
            for number in self._before:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self.caught is not None and (kind is None or is_lost_peer(error)):
            # It came when nothing was left to be done; or another process, which got it too, was quicker to leave.
            signal.raise_signal(self.caught)

    def obey(self) -> None:
        """Do now what the signal would have done; where another process got it, end like after SIGTERM."""
        self._restore()
        signal.raise_signal(self.caught or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught = number
        if number == signal.SIGINT:
            signal.signal(number, self._before.pop(number))

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
