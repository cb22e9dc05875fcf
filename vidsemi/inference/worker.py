"""One worker of a scoring job: scores free shards, then those whose workers died, until none is left."""

import logging
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from heapq import nsmallest
from itertools import islice

from vidsemi.data.manifest import Row
from vidsemi.data.reachable import read_reachable
from vidsemi.data.views import ViewRequest
from vidsemi.inference.leases import Lease, Leases
from vidsemi.inference.probe import probe_failures
from vidsemi.inference.score_directory import Failed, Scored
from vidsemi.inference.score_job import ScoreJob
from vidsemi.inference.score_views import Clock, ReadViews, VideoScore, Views, read_in_processes, score_videos
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.progress import progress_bar
from vidsemi.runtime.device import clips_per_forward, worker_count
from vidsemi.runtime.distributed import local_rank
from vidsemi.selection.score_writer import top_classes

logger = logging.getLogger("vidsemi")

RESCAN_EVERY = 10.0  # seconds between looks at what other workers have done
WAIT = 1.0  # seconds between looks when only others have work
NEARBY = 4  # shards to look into for examples that were read before
CRASHES = "crashes the worker repeatedly"


class ScoreWorker:
    """Scores shards of a job until all are done."""

    def __init__(self, job: ScoreJob, leases: Leases):
        self._job, self._leases, self._directory = job, leases, job.directory
        self._clips_per_forward = clips_per_forward(job.runtime, job.infer.device)
        self._clock = Clock()
        self._starts = [shard.start for shard in job.shards]
        self._num_read = self._num_failed = 0
        self._last_failure = ""
        self._deferred: set[int] = set()  # shards without a readable example, met before anything could be read
        self._logged_waiting = False
        self._done = self._directory.done()
        self._scanned = time.monotonic()
        done = job.num_examples(self._done)
        self._bar = progress_bar(len(job.manifest), "example", job.title, done, silent=local_rank() != 0)

    def work(self) -> None:
        """Score until every shard is done and complete.

        Raises:
            UserError: no example can be read here.
        """
        job = self._job
        ahead = read_in_processes(job.reader, job.runtime, self._clips_per_forward, job.manifest, self._scored_nearby)
        with self._bar:
            while todo := self._todo() or self._reopen_incomplete() or self._to_probe():
                before = len(self._done), self._num_read
                self._probe_failures(ahead)
                self._score(self._lease_free(todo), ahead)
                for number in todo:
                    if lease := self._unless_done(self._leases.take_over(number)):
                        self._score([lease], self._read_carefully(lease) if lease.careful else ahead)
                if (len(self._done), self._num_read) == before and (others := self._todo() or self._to_probe()):
                    self._wait(others)
        self._leases.clear()
        self._directory.clean_up()

    def _todo(self) -> list[int]:
        """Rescan the directory and return the shards that are not done."""
        before, self._done = self._done, self._directory.done()
        self._scanned = time.monotonic()
        self._bar.update(self._job.num_examples(self._done - before))
        return [number for number in range(len(self._job.shards)) if number not in self._done]

    def _to_probe(self) -> list[int]:
        return sorted(self._directory.retries.to_probe())

    def _reopen_incomplete(self) -> list[int]:
        """Reopen shards that are done but not complete, which are rare.

        Two workers may have had such a shard, one of them being taken for dead, and have read different examples; or
        another program left a file there.
        """
        reopened = []
        for number in range(len(self._job.shards)):
            if self._is_complete(number):
                continue
            if lease := self._leases.take(number) or self._leases.take_over(number):
                if not self._is_complete(number):  # still, now that no other worker has it
                    self._directory.reopen(number)
                    self._done.discard(number)
                    self._bar.update(-len(self._job.shards[number]))
                    reopened.append(number)
                self._leases.release(lease)
        return reopened

    def _is_complete(self, number: int) -> bool:
        return self._directory.is_complete(number, self._job.shards[number])

    def _scored_nearby(self, row: Row) -> list[Row]:
        """Return examples that any worker could read, of the done shards nearest to that of a row."""
        own = bisect_right(self._starts, row.example_id) - 1
        nearest = nsmallest(NEARBY, self._done, key=lambda number: abs(number - own))
        known = (self._directory.scored_example([number]) for number in nearest)
        return [self._job.manifest.row(example) for example in known if example is not None]

    def _probe_failures(self, read_views: ReadViews) -> None:
        for number in probe_failures(self._directory, self._job, self._leases, read_views):
            self._done.discard(number)
            self._bar.update(-len(self._job.shards[number]))

    def _failures_to_keep(self, number: int) -> list[Failed]:
        """Return the failures of a shard that is scored again that nobody asked to read again."""
        ids = self._directory.retries.examples(number) if self._directory.retries.is_to_score(number) else None
        own = self._job.shards[number]
        return [one for one in self._directory.failures(number) if one[0] not in ids and one[0] in own] if ids else []

    def _lease_free(self, todo: list[int]) -> Iterator[Lease]:
        for number in todo:
            if time.monotonic() - self._scanned > RESCAN_EVERY:
                self._todo()
            if number in self._deferred and not self._num_read:
                continue
            if number not in self._done and (lease := self._unless_done(self._leases.take(number))):
                yield lease

    def _unless_done(self, lease: Lease | None) -> Lease | None:
        """Release the lease of a shard that another worker finished since the last scan."""
        if lease is not None and self._directory.is_done(lease.number):
            self._leases.release(lease)
            return None
        return lease

    def _wait(self, others: list[int]) -> None:
        """Wait for shards of other workers; fail if all that is left is unreadable here."""
        if self._deferred.issuperset(others):
            if self._directory.scored_example(sorted(self._done)) is None:
                tried = self._job.num_examples(self._deferred)
                raise UserError(
                    "scores.nothing_readable", f"none of {tried} examples can be read; the last is {self._last_failure}"
                )
            self._deferred.clear()  # another worker has read something
            return
        if not self._logged_waiting:
            logger.info("waiting for %d shards of other workers", len(others))
            self._logged_waiting = True
        time.sleep(WAIT)

    def _score(self, leases: Iterable[Lease], read_views: ReadViews) -> None:
        taken: deque[tuple[Lease, int, list[Failed]]] = deque()

        def shards() -> Iterator[Sequence[int]]:
            for lease in leases:
                kept = self._failures_to_keep(lease.number)
                kept += [self._failure(one, CRASHES) for one in self._job.shards[lease.number] if one in lease.crashing]
                left_out = {failure[0] for failure in kept}
                examples = [example for example in self._job.shards[lease.number] if example not in left_out]
                if examples:
                    taken.append((lease, len(examples), kept))
                    yield examples
                else:
                    self._write(lease, [], kept)

        scores = score_videos(
            self._job.infer,
            shards(),
            self._job.manifest.row,
            self._job.reader,
            read_views=read_views,
            clips_per_forward=self._clips_per_forward,
            clock=self._clock,
        )
        with closing(scores):
            while first := next(scores, None):
                lease, examples, kept = taken.popleft()
                rest = islice(scores, examples - 1)
                self._write(lease, [self._reduced(first), *map(self._reduced, rest)], kept)

    def _read_carefully(self, lease: Lease) -> ReadViews:
        """Read one file at a time and note it in the lease, so that a file that ends this process is identified."""

        def read_views(requests: Iterable[ViewRequest]) -> Generator[Views, None, None]:
            def noted() -> Iterator[ViewRequest]:
                for request in requests:
                    lease.note(request.row.example_id)
                    yield request

            workers = min(worker_count(self._job.runtime), 1)
            seconds = self._job.runtime.seconds_per_file
            ready = read_reachable(
                self._job.reader,
                noted(),
                self._job.manifest,
                workers=workers,
                seconds=seconds,
                prefetch=1,
                known=self._scored_nearby,
            )
            with closing(ready):
                for views in ready:
                    lease.note(None)
                    yield views

        return read_views

    def _reduced(self, score: VideoScore) -> Scored | Failed:
        """Reduce an example's scores to its highest classes, and report progress."""
        self._leases.report_progress()
        self._num_failed += score.error is not None
        self._num_read += score.error is None
        self._bar.set_postfix_str(
            f"{self._num_failed} cannot be read, waits for data {self._clock.share:.0%}", refresh=False
        )
        self._bar.update()
        probabilities = score.probabilities
        if probabilities is None:
            return self._failure(score.example_id, score.error or "")
        labels, scores = top_classes(probabilities[None], self._directory.info.per_example, self._job.known)
        return score.example_id, labels[0], scores[0]

    def _failure(self, example_id: int, error: str) -> Failed:
        return example_id, self._job.manifest.row(example_id).path, error

    def _write(self, lease: Lease, results: list[Scored | Failed], kept: list[Failed]) -> None:
        """Write a shard, unless nothing of it is readable here or another worker has taken it over.

        `kept` are failures of examples that were not read.
        """
        number = lease.number
        scored = [result for result in results if not isinstance(result[2], str)]
        failed = [result for result in results if isinstance(result[2], str)]
        credible = bool(self._num_read) or not failed or self._files_at_fault(number, failed[0])
        if credible and self._leases.owns(lease):  # a new owner may be able to read what is unreadable here
            self._bar.update(len(kept))
            self._directory.write(number, scored, [*failed, *kept])
            self._done.add(number)
        self._leases.release(lease)

    def _files_at_fault(self, number: int, failure: Failed) -> bool:
        """Decide whether a shard's files are at fault, or this machine, which has read nothing so far.

        An example that any worker could read before decides. While there is none, the shard is deferred, so that a
        worker whose disk is not mounted cannot mark a whole dataset as unreadable.

        Raises:
            UserError: an example that was read before cannot be read here.
        """
        _, path, error = failure
        self._last_failure = f"{path}: {error}"
        known = self._directory.scored_example(sorted(self._done))
        if known is None:
            self._deferred.add(number)
            self._bar.update(-len(self._job.shards[number]))
            return False
        try:
            self._job.reader(next(self._job.reader.requests(self._job.manifest.row(known))))
        except DecodeError as error:
            raise UserError(
                "scores.unreadable_here", f"{error}; it was readable before: is the disk mounted, and is --root right?"
            ) from None
        return True
