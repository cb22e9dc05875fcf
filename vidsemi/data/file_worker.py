"""A worker that reads the files of a manifest with one function, shard by shard."""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Generic, TypeVar

from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.reachable import read_reachable
from vidsemi.data.shards import read_carefully
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.leases import Lease, Leases
from vidsemi.runtime.shard_worker import Computed, Files, ShardJob, ShardWorker, by_shard

Result = TypeVar("Result")


class FileWorker(ShardWorker, Generic[Result]):
    """Reads shards of a manifest until all are done."""

    def __init__(
        self,
        job: ShardJob,
        leases: Leases,
        manifest: Manifest,
        read: Callable[[Row], Result],
        *,
        workers: int,
        seconds: float,
    ):
        super().__init__(job, leases)
        self.manifest, self._read, self._workers, self._seconds = manifest, read, workers, seconds

    @abstractmethod
    def files(self, number: int, found: dict[int, Result | DecodeError]) -> Files:
        """Return the files of a shard from the results of its examples; those without one crash workers."""

    def examples(self, number: int) -> Sequence[int]:
        """Return the examples of a shard."""
        return self.job.shards[number]

    def is_unreadable(self, result: Result | DecodeError) -> bool:
        """Return whether a result says that a file cannot be read."""
        return isinstance(result, DecodeError)

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Read the files of shards."""
        options: dict[str, Any] = {"workers": self._workers, "seconds": self._seconds, "dataset": self.manifest}
        if careful is not None:
            options["note"] = partial(self.leases.note, careful)

        def results_of(shards: Iterable[Sequence[int]]) -> Generator[Result | DecodeError, None, None]:
            rows = (self.manifest.row(example_id) for shard in shards for example_id in shard)
            read = read_reachable if careful is None else read_carefully
            with closing(read(self._read, rows, **options)) as results:
                for result in results:
                    self.finished_one(readable=not self.is_unreadable(result))
                    yield result

        def examples(lease: Lease) -> list[int]:
            return [example for example in self.examples(lease.number) if example not in lease.crashing]

        for lease, results in by_shard(leases, examples, results_of):
            yield lease, self.files(lease.number, dict(zip(examples(lease), results, strict=True)))
