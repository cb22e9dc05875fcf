"""Virtual time: thousands of workers in one process, each with its threads, whose waiting takes no time.

They run the product's own code, in greenlets: what it imports from `threading` and `time` is replaced meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from types import SimpleNamespace
from unittest.mock import patch

from greenlet import getcurrent, greenlet

from vidsemi.io import store_patience
from vidsemi.runtime import leases, shard_worker


class KilledError(BaseException):
    """The worker is killed; what it does while it unwinds has no effect."""


@dataclass
class Actor:
    """A worker's process; its threads end with it."""

    name: int
    alive: bool = True


class _Task(greenlet):
    actor: Actor
    turn = 0  # a wake-up for an earlier turn is stale
    ended: bool = False


class VirtualTime:
    """A clock and the tasks that wait for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._hub = getcurrent()
        self._queue: list[tuple[float, int, _Task, int]] = []
        self._count = 0

    def run(self) -> None:
        """Run until no task is left."""
        self._hub = getcurrent()
        while self._queue:
            when, _, task, turn = heappop(self._queue)
            if turn == task.turn and not task.ended:
                self.now = when
                task.switch()

    def start(self, actor: Actor, function: Callable[[], object], delay: float = 0) -> "_Task":
        """Start a thread of an actor."""

        def body() -> None:
            try:
                function()
            except KilledError:
                pass
            finally:
                task.ended = True

        task = _Task(body, parent=self._hub)
        task.actor = actor
        self._wake(task, delay)
        return task

    @property
    def actor(self) -> Actor:
        """Whose thread is running."""
        return self._current().actor

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        self._wake(self._current(), seconds)
        self._pause()

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.now

    def _current(self) -> _Task:
        task = getcurrent()
        assert isinstance(task, _Task)
        return task

    def _wake(self, task: _Task, delay: float = 0) -> None:
        self._count += 1
        heappush(self._queue, (self.now + max(delay, 0), self._count, task, task.turn))

    def _pause(self) -> None:
        task = self._current()
        if task.actor.alive:
            self._hub.switch()
            task.turn += 1
        if not task.actor.alive:
            raise KilledError

    def lock(self) -> "_Lock":
        """As `threading.Lock`."""
        return _Lock(self)

    def event(self) -> "_Event":
        """As `threading.Event`."""
        return _Event(self)

    def thread(self, target: Callable[[], object], daemon: bool = True) -> "_Thread":
        """As `threading.Thread`."""
        return _Thread(self, target)


class _Waiting:
    def __init__(self, time: VirtualTime):
        self._time = time
        self._waiting: deque[_Task] = deque()

    def _wait(self, seconds: float | None = None) -> None:
        task = self._time._current()
        self._waiting.append(task)
        if seconds is not None:
            self._time._wake(task, seconds)
        try:
            self._time._pause()
        finally:
            if task in self._waiting:
                self._waiting.remove(task)


class _Lock(_Waiting):
    _held = False

    def __enter__(self) -> None:
        while self._held:
            self._wait()
        self._held = True

    def __exit__(self, *error: object) -> None:
        self._held = False
        if self._waiting:
            self._time._wake(self._waiting.popleft())


class _Event(_Waiting):
    _set = False

    def set(self) -> None:
        self._set = True
        while self._waiting:
            self._time._wake(self._waiting.popleft())

    def wait(self, seconds: float | None = None) -> bool:
        if not self._set:
            self._wait(seconds)
        return self._set


class _Thread(_Event):
    def __init__(self, time: VirtualTime, target: Callable[[], object]):
        super().__init__(time)
        self._target = target

    def start(self) -> None:
        self._time.start(self._time.actor, self._run)

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self.set()

    def join(self) -> None:
        self.wait()


@contextmanager
def running_on(time: VirtualTime) -> Iterator[None]:
    """Have leases, workers and the connection to a store live in virtual time; every actor is a machine of its own."""
    with (
        patch.multiple(leases, monotonic=time.monotonic, Lock=time.lock, Event=time.event, Thread=time.thread),
        patch.object(shard_worker, "LONGEST_SLEEP", inf),  # no progress bar to refresh
        patch.object(shard_worker.logger, "disabled", True),
        patch.object(leases, "this_process", lambda: {"machine": time.actor.name}),
        patch.object(shard_worker, "time", SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep)),
        patch.object(store_patience, "time", SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep)),
    ):
        yield
