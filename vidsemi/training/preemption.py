"""Preemption: on SIGTERM or Ctrl-C, finish the training step, write a checkpoint, then exit."""

import signal
import threading
from types import FrameType
from typing import Any

from vidsemi.runtime.library_errors import is_lost_peer

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; a scheduler that takes the machine back, or torchrun


class GracefulShutdown:
    """Notes SIGINT and SIGTERM instead of acting on them, while the block lasts.

    A second Ctrl-C acts at once. A second SIGTERM does not: torchrun often sends it twice.
    """

    def __init__(self) -> None:
        self.signal: int | None = None  # that was received
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "GracefulShutdown":
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._handlers = {number: one for number, one in handlers.items() if one not in (signal.SIG_IGN, None)}
            for number in self._handlers:
                signal.signal(number, self._note)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._restore_handlers()
        if self.signal is not None and (kind is None or is_lost_peer(error)):
            # It came after the last step; or another process, which received it too, has exited already.
            signal.raise_signal(self.signal)

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.signal is not None

    def exit(self) -> None:
        """Act on the signal now; if another process received it, exit as after SIGTERM."""
        self._restore_handlers()
        signal.raise_signal(self.signal or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if number == signal.SIGINT:
            signal.signal(number, self._handlers.pop(number))

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
