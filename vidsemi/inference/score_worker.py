"""One worker of a scoring job: what it does besides the loop over shards."""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from heapq import nsmallest

from vidsemi.data.manifest import Row
from vidsemi.data.shards import read_carefully
from vidsemi.inference.completeness import Completeness
from vidsemi.inference.probe import probe_failures
from vidsemi.inference.score_directory import Failed, Scored
from vidsemi.inference.score_job import ScoreJob
from vidsemi.inference.score_views import Clock, ReadViews, VideoScore, read_in_processes, score_videos
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.runtime.device import clips_per_forward, worker_count
from vidsemi.runtime.leases import Lease, Leases
from vidsemi.runtime.shard_worker import CRASHES, Computed, Files, ShardWorker, by_shard
from vidsemi.selection.score_writer import top_classes

NEARBY = 4  # shards to look into for examples that were read before


class ScoreWorker(ShardWorker):
    """Scores shards of a job until all are done and complete."""

    def __init__(self, job: ScoreJob, leases: Leases):
        self._job, self._directory = job, job.directory
        super().__init__(job, leases)
        self.completeness = Completeness(job.directory, job.shards)
        self._clips_per_forward = clips_per_forward(job.runtime, job.infer.device)
        self._clock = Clock()
        self._starts = [shard.start for shard in job.shards]
        self._num_read = 0
        self._last_failure = ""
        self._deferred: set[int] = set()  # shards without a readable example, met before anything could be read
        self._ahead = read_in_processes(
            job.reader, job.runtime, self._clips_per_forward, job.manifest, self._scored_nearby
        )

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Score shards; one without a readable example is left to others until any worker has read something."""
        read_views = self._ahead if careful is None else self._carefully(careful)

        def scored(shards: Iterable[Sequence[int]]) -> Generator[Scored | Failed, None, None]:
            scores = score_videos(
                self._job.infer,
                shards,
                self._job.manifest.row,
                self._job.reader,
                read_views=read_views,
                clips_per_forward=self._clips_per_forward,
                clock=self._clock,
            )
            with closing(scores):
                yield from map(self._reduced, scores)

        for lease, results in by_shard(leases, self._examples, scored):
            yield lease, self._files(lease, results)

    def _examples(self, lease: Lease) -> list[int]:
        """Return the examples of a shard to read: not those that crash workers, and not failures that are kept."""
        left_out = {failure[0] for failure in self._not_read(lease)}
        return [example for example in self.job.shards[lease.number] if example not in left_out]

    def _not_read(self, lease: Lease) -> list[Failed]:
        kept = self._failures_to_keep(lease.number)
        own = self.job.shards[lease.number]
        return kept + [self._failure(one, CRASHES) for one in own if one in lease.crashing]

    def reopen(self) -> list[int]:
        """Reopen shards that are done but not complete, which are rare.

        Two workers may have had such a shard, one of them being taken for dead, and have read different examples; or
        another program left a file there.
        """
        reopened = []
        for number in self.completeness.incomplete():
            if lease := self.leases.take(number) or self.leases.take_over(number):
                if not self.completeness.is_complete(number):  # still, now that no other worker has it
                    self._directory.reopen(number)
                    self.reopened(number)
                    reopened.append(number)
                self.leases.release(lease)
        return reopened

    def todo(self) -> Sequence[int]:
        """Rescan the store and return the shards that are not done, or else those to probe."""
        for number in self._directory.retries.to_score() & self.done:  # by another worker that probed it
            self.reopened(number)
        return super().todo() or sorted(self._directory.retries.to_probe())

    def before_round(self) -> None:
        """Probe failures that are to be read again."""
        for number in probe_failures(self._job, self.leases, self._ahead):
            self.reopened(number)

    def list_done(self) -> set[int]:
        """List the shards that are done."""
        return self._directory.done()

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return self._directory.is_done(number)

    def progress(self) -> object:
        """Return what changes when this worker gets anywhere."""
        return len(self.done), self._num_read

    def may_take(self, number: int) -> bool:
        """Return whether to take a free shard; a deferred one once anything was read."""
        return number not in self._deferred or bool(self._num_read)

    def wait(self, others: Sequence[int]) -> None:
        """Wait for shards of other workers; fail if all that is left is unreadable here."""
        if not self._deferred.issuperset(others):
            super().wait(others)
            return
        if self._directory.scored_example(sorted(self.list_done())) is None:
            tried = self.job.num_examples(self._deferred)
            raise UserError(
                "scores.nothing_readable", f"none of {tried} examples can be read; the last is {self._last_failure}"
            )
        self._deferred.clear()  # another worker has read something

    def write(self, number: int, files: Files) -> None:
        """Write the files of a shard, which may have been scored again."""
        super().write(number, files)
        self._directory.retries.finish(number)

    def _scored_nearby(self, row: Row) -> list[Row]:
        """Return examples that any worker could read, of the done shards nearest to that of a row."""
        own = bisect_right(self._starts, row.example_id) - 1
        nearest = nsmallest(NEARBY, self.done, key=lambda number: abs(number - own))
        known = (self._directory.scored_example([number]) for number in nearest)
        return [self._job.manifest.row(example) for example in known if example is not None]

    def _failures_to_keep(self, number: int) -> list[Failed]:
        """Return the failures that a shard keeps when it is scored again: of examples that are not to be read again."""
        ids = self._directory.retries.examples(number) if self._directory.retries.is_to_score(number) else None
        own = self.job.shards[number]
        return [one for one in self._directory.failures(number) if one[0] not in ids and one[0] in own] if ids else []

    def _carefully(self, lease: Lease) -> ReadViews:
        runtime = self._job.runtime
        return partial(
            read_carefully,
            self._job.reader,
            dataset=self._job.manifest,
            workers=worker_count(runtime),
            seconds=runtime.seconds_per_file,
            known=self._scored_nearby,
            note=partial(self.leases.note, lease),
        )

    def _reduced(self, score: VideoScore) -> Scored | Failed:
        """Reduce an example's scores to its highest classes, and report progress."""
        self._num_read += score.error is None
        self.finished_one(readable=score.error is None, waiting=self._clock.share)
        probabilities = score.probabilities
        if probabilities is None:
            return self._failure(score.example_id, score.error or "")
        labels, scores = top_classes(probabilities[None], self._directory.info.per_example, self._job.known)
        return score.example_id, labels[0], scores[0]

    def _failure(self, example_id: int, error: str) -> Failed:
        return example_id, self._job.manifest.row(example_id).path, error

    def _files(self, lease: Lease, results: list[Scored | Failed]) -> Files | None:
        """Return the files of a shard; none if nothing of it is readable here and the reason may be this machine."""
        scored = [result for result in results if not isinstance(result[2], str)]
        failed = [result for result in results if isinstance(result[2], str)]
        if not (self._num_read or not failed or self._files_at_fault(lease.number, failed[0])):
            return None
        not_read = self._not_read(lease)
        self.bar.update(len(not_read))
        return self._directory.files(lease.number, scored, [*failed, *not_read])

    def _files_at_fault(self, number: int, failure: Failed) -> bool:
        """Decide whether a shard's files are at fault, or this machine, which has read nothing so far.

        An example that any worker could read before decides. While there is none, the shard is deferred, so that a
        worker whose disk is not mounted cannot mark a whole dataset as unreadable.

        Raises:
            UserError: an example that was read before cannot be read here.
        """
        _, path, error = failure
        self._last_failure = f"{path}: {error}"
        known = self._directory.scored_example(sorted(self.done))
        if known is None:
            self._deferred.add(number)
            self.bar.update(-len(self.job.shards[number]))
            return False
        try:
            self._job.reader(next(self._job.reader.requests(self._job.manifest.row(known))))
        except DecodeError as error:
            raise UserError(
                "scores.unreadable_here", f"{error}; it was readable before: is the disk mounted, and is --root right?"
            ) from None
        return True
