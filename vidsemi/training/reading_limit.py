"""Notices that a training run waits for its readers for much of its time, and says once what to do about it."""

import logging
from collections.abc import Callable, Sequence

from vidsemi.config import Runtime
from vidsemi.data.read import is_image
from vidsemi.data.train_clips import TrainClips
from vidsemi.runtime.device import worker_count
from vidsemi.runtime.distributed import gather, processes, processes_here
from vidsemi.runtime.process import usable_cores

logger = logging.getLogger("vidsemi")

WARM_UP = 60.0  # seconds that are not counted: readers start, the network is compiled
WINDOW = 120.0  # seconds that are judged at least
LIMIT = 0.25  # share of the time that a process waits for clips, from which on reading limits the training run


class ReadingLimit:
    """Judges the time that processes wait for clips, until it is too long once."""

    def __init__(self, dataset: TrainClips, runtime: Runtime, title: str):
        self._dataset, self._runtime, self._title = dataset, runtime, title
        self._before: Sequence[Sequence[float]] | None = None
        self._found = False

    def check(self, seconds: float, waited: float, write_log: Callable[..., None]) -> None:
        """Log it if the process that waits most waits too long; all processes have to call this at the same steps.

        Args:
            seconds: since the training run started.
            waited: those of them that this process waited for clips.
            write_log: writes an event of the training log.
        """
        if self._found:
            return
        now: list[list[float]] = gather([seconds, waited])
        passed = now[0][0]  # on the first process, so that all decide alike
        if self._before is None:
            self._before = now if passed >= WARM_UP else None
            return
        passed -= self._before[0][0]
        if passed < WINDOW:
            return
        pairs = zip(now, self._before, strict=True)
        share = max((own[1] - before[1]) / max(own[0] - before[0], 1e-9) for own, before in pairs)
        self._before, self._found = now, share >= LIMIT
        if self._found and processes().first:
            advice = self._advice()
            words = "%s: reading limits training, which waited %.0f%% of the last %.0f s for clips; %s"
            logger.warning(words, self._title, 100 * share, passed, advice)
            write_log("reading_limit", waited=share, seconds=passed, advice=advice)

    def _advice(self) -> str:
        workers, cores = worker_count(self._runtime), max(usable_cores() // processes_here(), 1)
        changes = [f"raise runtime.workers (now {workers}, with {cores} cores)"] if workers < cores else []
        if is_image(self._dataset.manifest.row(0)):
            changes.append("make smaller copies of the images once")
        else:
            changes.append("make small copies of the videos once (vidsemi shrink)")
            if self._dataset.clips_per_video == 1:
                changes.append("take several clips of a video each time it is opened (clips_per_video: 4)")
        return ", or ".join(changes)
