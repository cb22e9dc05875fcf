"""A cluster in virtual time: workers that score shards into one bucket, and are killed and replaced.

The loop over shards, the leases and the connection to the store are the product's own code.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.bench.virtual_bucket import StoreCosts, VirtualBucket
from tools.bench.virtual_numbers import Numbers
from tools.bench.virtual_time import Actor, VirtualTime, running_on
from tools.bench.virtual_worker import FOLDER, Machine
from vidsemi.io.object_store import ObjectStore
from vidsemi.runtime.shard_worker import ShardJob


@dataclass(frozen=True)
class Scenario:
    """A job and the machines that do it.

    Attributes:
        workers: at a time.
        shards: of the job.
        shard_seconds: that each takes, drawn from these.
        kills: of a worker per hour, without warning; another starts in its place.
        slow: share of workers that are slower than the others, by `slowness`.
        slowness: how many times as long they take.
        start_seconds: from the start of a worker to its first request.
        ahead: share of a shard that is read ahead while requests are made.
        careful: how many times as long a shard takes whose files are read one at a time.
        costs: of the store.
        seed: of all that is random.
    """

    workers: int
    shards: int
    shard_seconds: tuple[float, ...]
    costs: StoreCosts
    kills: float = 0.0
    slow: float = 0.0
    slowness: float = 2.0
    start_seconds: float = 60.0
    ahead: float = 0.05
    careful: float = 16.0
    seed: int = 0


@dataclass
class Account:
    """What became of the time of all workers."""

    paid: float = 0.0  # seconds of workers, from start to end, at their speed
    useful: float = 0.0  # seconds of shards that were written first
    lost: float = 0.0  # to kills: of shards that were not written, and of starting again
    written: list[int] = field(default_factory=list)  # shards, in order
    finished: float = 0.0  # when the last shard was written
    ended: float = 0.0  # when the last worker had found that all is done
    kills: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # workers that gave up, by error
    stolen: int = 0  # leases that were taken from workers that live
    careful: int = 0  # shards that were read one file at a time


class VirtualJob(ShardJob):
    """Counts nothing for a progress bar that nobody sees."""

    def num_examples(self, shards: Iterable[int]) -> int:
        """Return 0."""
        return 0


class Cluster:
    """The machines of a scenario."""

    def __init__(self, scenario: Scenario, *, log: bool = False):
        self.scenario = scenario
        self.time = VirtualTime()
        self.dice = random.Random(scenario.seed)
        self.bucket = VirtualBucket(self.time, scenario.costs, self.dice)
        self.bucket.log = [] if log else None
        self.store = ObjectStore(FOLDER)
        self.job = VirtualJob(self.store, [range(n, n + 1) for n in range(scenario.shards)], "score")
        self.account = Account()
        self.all = (1 << scenario.shards) - 1
        self.done = Numbers()
        self.holders: dict[int, Actor] = {}
        self.checked: set[int] = set()  # groups of shards that a worker found complete at the end
        self._actors = 0

    def run(self) -> Account:
        """Run until every worker has ended."""
        state = random.getstate()
        random.seed(self.scenario.seed)
        try:
            with running_on(self.time), self.bucket.connected():
                for number in range(self.scenario.workers):
                    slow = number < round(self.scenario.slow * self.scenario.workers)
                    self._start(1 / self.scenario.slowness if slow else 1.0)
                self.time.run()
        finally:
            random.setstate(state)
        return self.account

    def seconds(self, number: int) -> float:
        """Return what a shard takes; another attempt takes as long."""
        known = self.scenario.shard_seconds
        return known[hash((self.scenario.seed, number)) % len(known)]

    def _start(self, speed: float) -> None:
        actor = Actor(self._actors)
        self._actors += 1
        machine = Machine(self, actor, speed)
        self.time.start(actor, machine.run)
        if self.scenario.kills:
            self.time.start(Actor(-1), lambda: self._kill(machine), self.dice.expovariate(self.scenario.kills / 3600))

    def _kill(self, machine: "Machine") -> None:
        if machine.actor.alive and not machine.ended:
            machine.actor.alive = False
            self.account.kills += 1
            self.account.paid += (self.time.now - machine.began) * machine.speed
            self.account.lost += (self.time.now - machine.last) * machine.speed
            self._start(machine.speed)
