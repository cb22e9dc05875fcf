"""One worker of a job: computes free shards, then those whose workers died, until none is left.

The same loop serves every job whose work is cut into shards: scoring, features, hashing and `--verify`. A job says how
the files of a shard come from its examples; who computes which shard, and when, changes nothing in them.
"""

import logging
import random
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, MutableSequence, Sequence
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

from vidsemi.io.progress import progress_bar
from vidsemi.io.store import Store, shard_name, shard_numbers
from vidsemi.io.store_patience import patient
from vidsemi.runtime.distributed import local_rank
from vidsemi.runtime.leases import Lease, Leases

logger = logging.getLogger("vidsemi")

LONGEST_SLEEP = 1.0  # seconds
LOOKS = 8  # at leases in a round; each is a request by each of perhaps 1,000 workers
TRY = 2500  # done shards whose listing takes as many requests as a try that finds one of them done
RELIST = 600.0  # seconds between listings of done shards on a server, at most
CRASHES = "crashes the worker repeatedly"  # the error of an example that killed several workers

Result = TypeVar("Result")
Files = dict[str, bytes]  # content by name, in the order to write them in
Computed = Generator[tuple[Lease, Files | None], None, None]


@dataclass(frozen=True)
class ShardJob:
    """What all workers of a job have in common."""

    store: Store
    shards: Sequence[range]  # numbers of the examples of each
    title: str
    unit: str = "example"
    folders: Sequence[str] = ("",)  # where a shard that is done has its file; "" is the store's own

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers of all shards."""
        return list(range(len(self.shards)))

    def num_examples(self, shards: Iterable[int]) -> int:
        """Count the examples of some shards."""
        return sum(len(self.shards[number]) for number in shards if number < len(self.shards))


@dataclass(frozen=True)
class Figures:
    """How far a worker is, in examples."""

    total: int  # of the job
    before: int  # in shards that were done when this worker started
    written: int = 0  # in shards that this worker has written
    open: int = 0  # computed, of a shard that is not written yet
    unreadable: int = 0
    waiting: float | None = None  # share of the time it waits for data, where that is measured

    @property
    def note(self) -> str:
        """What the progress bar says besides how far it is."""
        unreadable = f"{self.unreadable} cannot be read"
        return unreadable if self.waiting is None else f"{unreadable}, waits for data {self.waiting:.0%}"


# What an engine that gathers the figures of all workers wants called whenever this one's change. It may raise an
# exception to end this worker, which then gives its leases back.
watched: ContextVar[Callable[[Figures], None] | None] = ContextVar("watched", default=None)


class ShardWorker(ABC):
    """Computes shards of a job until all are done."""

    def __init__(self, job: ShardJob, leases: Leases):
        self.job, self.store, self.leases = job, job.store, leases
        self.done = self.list_done()
        self._scanned = self._listed = time.monotonic()  # leases; done shards
        self._leased: set[int] = set()  # by anybody, when leases were listed
        self._taken: set[int] = set()  # leased at any time since done shards were listed
        self._misses = 0  # shards since then that another worker had or had done, when this one wanted them
        self._logged_waiting = False
        self.figures = Figures(job.num_examples(range(len(job.shards))), job.num_examples(self.done))
        self.bar = progress_bar(self.figures.total, job.unit, job.title, self.figures.before, silent=local_rank() != 0)

    @abstractmethod
    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Compute the files of shards, in order; None for one to leave to other workers.

        The files depend on nothing but the shard. The next shard is requested while the last one is still being read,
        so that nothing waits at the end of a shard.

        Args:
            leases: of the shards.
            careful: the only one, if workers died with it: read one file at a time and note which.
        """

    def work(self) -> None:
        """Compute until every shard is done."""
        self._show()
        with self.bar, patient():
            while todo := self.todo() or self.reopen():
                before = self.progress()
                self.before_round()
                self._compute(self._lease_free(todo))
                for number in self._leased_by_others(todo):
                    if lease := self._unless_done(self.leases.take_over(number)):
                        self._compute([lease], lease if lease.careful else None)
                if self.progress() == before:
                    self.wait(self.left() or todo)
        self.leases.clear()

    def list_done(self) -> set[int]:
        """List the shards that are done."""
        folders = [shard_numbers(self.store.names(folder)) for folder in self.job.folders]
        return set.intersection(*folders)

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return all(self.store.exists(f"{folder}/{shard_name(number)}".lstrip("/")) for folder in self.job.folders)

    def left(self) -> Sequence[int]:
        """Return the shards that are not done as far as this worker knows, in order."""
        return [number for number in self.job.numbers if number not in self.done]

    def free(self, shards: Sequence[int]) -> MutableSequence[int]:
        """Return those of some shards that seem to be free, in order."""
        return [number for number in shards if number not in self.done and number not in self._taken]

    def todo(self) -> Sequence[int]:
        """Rescan the store and return the shards that are not done."""
        self._leased = self.leases.leased()
        self._scanned = time.monotonic()
        self._taken |= self._leased
        if not self.store.remote or self._must_list():
            before, self.done = self.done, self.list_done()
            self.bar.update(self.job.num_examples(self.done - before) - self.job.num_examples(before - self.done))
            self._taken, self._misses, self._listed = self._leased.copy(), 0, self._scanned
        return self.left()

    def _misled(self) -> bool:
        """Whether shards were tried in vain so often that listing those that are done costs no more."""
        return self.store.remote and self._misses > LOOKS + len(self.done) // TRY

    def _must_list(self) -> bool:
        """Decide whether to list the done shards of a server, which takes a request for every 1,000 files.

        A thousand workers would soon ask for more than a server answers. So a worker lists them once it has tried so
        many shards in vain that a listing costs no more, or has no shard left to try. While it waits for others, it
        looks only at shards that lost their leases since: nearly all are done, and few workers need to find the rest.
        """
        if self._misled() or time.monotonic() - self._listed > RELIST:
            return True
        left = self.left()
        if self.free(left):
            return False
        ended = {number for number in left if number not in self._leased}
        if len(ended) > LOOKS:
            return len(ended) == len(left) or random.random() < LOOKS / len(ended)
        found = {number for number in ended if self.is_done(number)}
        self.done |= found
        self.bar.update(self.job.num_examples(found))
        self._taken -= ended
        return False

    def reopen(self) -> Sequence[int]:
        """Return shards that are done but to be computed again."""
        return []

    def before_round(self) -> None:  # noqa: B027
        """Do what comes before a round over all shards."""

    def progress(self) -> object:
        """Return what changes when this worker gets anywhere."""
        return len(self.done)

    def wait(self, others: Sequence[int]) -> None:
        """Wait for shards that other workers have."""
        if not self._logged_waiting:
            logger.info("waiting for %d shards of other workers", len(others))
            self._logged_waiting = True
        end = time.monotonic() + self.store.wait_seconds * random.uniform(0.5, 1)
        while (left := end - time.monotonic()) > 0:
            self._show()
            time.sleep(min(left, LONGEST_SLEEP))

    def reopened(self, number: int) -> None:
        """Record that a shard is not done any more."""
        self.done.discard(number)
        self.bar.update(-len(self.job.shards[number]))

    def finished_one(self, *, readable: bool, waiting: float | None = None) -> None:
        """Record that one more example is computed, and the share of the time that was spent waiting for data."""
        self.leases.report_progress()
        before = self.figures
        self._show(open=before.open + 1, unreadable=before.unreadable + (not readable), waiting=waiting)
        self.bar.set_postfix_str(self.figures.note, refresh=False)
        self.bar.update()

    def _show(self, **changes: Any) -> None:
        self.figures = replace(self.figures, **changes)
        if (show := watched.get()) is not None:
            show(self.figures)

    def may_take(self, number: int) -> bool:
        """Return whether to take a free shard."""
        return True

    def write(self, number: int, files: Files) -> None:
        """Write the files of a shard."""
        for name, content in files.items():
            self.store.put(name, content)
        self.done.add(number)

    def _lease_free(self, todo: Sequence[int]) -> Iterator[Lease]:
        free = self.free(todo)
        place = random.randrange(len(free)) if free and self.store.remote else 0
        while free:
            place %= len(free)
            number = free.pop(place)
            if not self.may_take(number):
                continue
            self._taken.add(number)
            if lease := self._unless_done(self.leases.take(number)):
                yield lease
            else:
                self._misses += 1
                if free and self.store.remote:  # or a thousand workers would follow each other from shard to shard
                    place = random.randrange(len(free))
            if time.monotonic() - self._scanned > self.store.rescan_seconds or self._misled():
                self.todo()
                following = free[place % len(free)] if free else 0
                free = self.free(todo)
                place = bisect_left(free, following)

    def _leased_by_others(self, todo: Sequence[int]) -> list[int]:
        """Return shards whose workers may be dead: on a server those whose leases expired, and some others."""
        leased = (self._leased if self.store.remote else self.leases.leased()).intersection(todo)
        if not self.store.remote or len(leased) <= LOOKS:
            return sorted(leased)
        expired = self.leases.expired() & leased
        return sorted(expired.union(random.sample(sorted(leased), 2)))  # as all who wait do

    def _unless_done(self, lease: Lease | None) -> Lease | None:
        """Release the lease of a shard that another worker finished since the last scan."""
        if lease is not None and self.is_done(lease.number):
            self.leases.release(lease)
            return None
        return lease

    def _compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> None:
        with closing(self.compute(leases, careful)) as computed:
            for lease, files in computed:
                written = self.figures.written
                if files is not None and self.leases.owns(lease):  # a new owner may read what is unreadable here
                    self.write(lease.number, files)
                    written += len(self.job.shards[lease.number])
                self.leases.release(lease)
                self._show(written=written, open=0)


def by_shard(
    leases: Iterable[Lease],
    examples_of: Callable[[Lease], Sequence[int]],
    compute: Callable[[Iterable[Sequence[int]]], Generator[Result, None, None]],
) -> Iterator[tuple[Lease, list[Result]]]:
    """Compute the examples of shards in one stream, and yield the results of each shard.

    `compute` receives the examples shard by shard, asks for the next shard when it has room, and yields one result for
    each example, in order.
    """
    taken: deque[tuple[Lease, int]] = deque()

    def shards() -> Iterator[Sequence[int]]:
        for lease in leases:
            examples = examples_of(lease)
            taken.append((lease, len(examples)))
            if examples:
                yield examples

    with closing(compute(shards())) as results:
        while True:
            first = list(islice(results, 1))  # which may take leases
            while taken and not taken[0][1]:
                yield taken.popleft()[0], []
            if not first:
                return
            lease, count = taken.popleft()
            yield lease, [*first, *islice(results, count - 1)]
