"""Reads failed examples again, for `vidsemi score --retry-failures`."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

from vidsemi.data.views import ViewRequest
from vidsemi.inference.score_directory import ScoreDirectory
from vidsemi.inference.score_job import ScoreJob
from vidsemi.inference.score_views import ReadViews, Views
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.leases import Lease, Leases


def probe_failures(job: ScoreJob, leases: Leases, read_views: ReadViews) -> Iterator[int]:
    """Read the failed examples of the shards that are to be probed and that nobody else probes.

    If none of a shard can be read, its failures get the errors of now, and it stays done.

    Yields:
        Shards of which an example can be read now: they are to be scored again.
    """
    directory = job.directory
    taken: deque[tuple[Lease, list[int]]] = deque()

    def requests() -> Iterator[ViewRequest]:
        for number in sorted(directory.retries.to_probe()):
            lease = leases.take(number) or leases.take_over(number)
            if lease is None:
                continue
            if not directory.retries.is_to_probe(number):  # any more
                leases.release(lease)
                continue
            ids = directory.retries.examples(number)
            failed = [one for one, _, _ in directory.failures(number) if one in ids]
            failed = [one for one in failed if one in job.shards[number]]
            taken.append((lease, failed))
            for example in failed:
                yield next(job.reader.requests(job.manifest.row(example)))

    with closing(read_views(requests())) as ready:
        while True:
            first = next(ready, None)  # which may take leases
            while taken and not taken[0][1]:
                _finish(directory, leases, *taken.popleft(), [])
            if first is None:
                return
            lease, failed = taken.popleft()
            leases.report_progress()
            if _finish(directory, leases, lease, failed, [first, *islice(ready, len(failed) - 1)]):
                yield lease.number


def _finish(
    directory: ScoreDirectory, leases: Leases, lease: Lease, failed: Sequence[int], found: Sequence[Views]
) -> bool:
    """Record what became of the failures of a shard; returns whether it is to be scored again."""
    number, again = lease.number, not all(isinstance(views, DecodeError) for views in found)
    if again:
        directory.retries.score_again(number)
    elif leases.owns(lease):
        errors = {
            example: error.reason
            for example, error in zip(failed, found, strict=True)
            if isinstance(error, DecodeError)
        }
        before = directory.failures(number)
        now = [(example, path, errors.get(example, error)) for example, path, error in before]
        if now != before:
            directory.write_failures(number, now)
        directory.retries.finish(number)
    leases.release(lease)
    return again
