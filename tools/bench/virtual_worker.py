"""A scoring worker in virtual time: the product's loop over shards and its leases; computing a shard is a wait.

Its looks at the directory are as `inference/score_worker` makes them; a test compares the requests of the two.
"""

import json
import math
import random
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.bench.virtual_bucket import VirtualBucket
from tools.bench.virtual_numbers import Numbers, bits_of
from tools.bench.virtual_time import Actor
from vidsemi.inference.completeness import GROUP, REMOVED_AT_ONCE
from vidsemi.io.errors import UserError
from vidsemi.io.object_store import RemotePath, tolerant
from vidsemi.io.store import REQUESTS, shard_name
from vidsemi.runtime.leases import EXPIRY, Lease, Leases
from vidsemi.runtime.shard_worker import Computed, Files, ShardWorker

if TYPE_CHECKING:
    from tools.bench.virtual_cluster import Cluster

FOLDER = RemotePath("s3://bucket", "scores")


class Machine:
    """A worker, from its start to its end."""

    def __init__(self, cluster: "Cluster", actor: Actor, speed: float):
        self.cluster, self.actor, self.speed = cluster, actor, speed
        self.began = self.last = cluster.time.now
        self.ended = False

    def run(self) -> None:  # noqa: D102
        cluster = self.cluster
        cluster.time.sleep(cluster.scenario.start_seconds)
        try:
            cluster.store.probe()
            if cluster.store.read("plan.json") is None:
                cluster.store.create("plan.json", b"{}")
            with VirtualLeases(cluster) as leases:
                SimulatedWorker(self, leases).work()
            self._clean_up()
        except UserError as error:
            cluster.account.failed[error.code] = cluster.account.failed.get(error.code, 0) + 1
        self.ended = True
        cluster.account.paid += (cluster.time.now - self.began) * self.speed
        cluster.account.ended = max(cluster.account.ended, cluster.time.now)

    def _clean_up(self) -> None:
        """Remove the marks of checks, as `inference/retry` and `inference/completeness` do."""
        store, bucket = self.cluster.store, self.cluster.bucket
        store.read("retry.json")
        store.names("retry")
        if self.cluster.scenario.workers > 1:
            self.cluster.time.sleep(store.wait_seconds)
        while names := store.names("checked"):
            some = random.sample(names, min(REMOVED_AT_ONCE, len(names)))
            tolerant(FOLDER, lambda some=some: bucket.request_many("delete", "checked", len(some), REQUESTS) or True)
            for name in some:
                bucket.folders["checked"].pop(name, None)


class VirtualLeases(Leases):
    """The product's leases, but that they go through no thousand names at every listing."""

    def __init__(self, cluster: "Cluster"):
        super().__init__(cluster.store, math.inf, cluster.scenario.shards)
        self._cluster = cluster
        self._listings: list[float] = []  # when leases were listed
        self._listed: Any = _Listed(self)

    def leased(self) -> Any:
        """List the leases of all workers."""
        _list_pages(self._cluster.bucket, "leases")
        self._listings.append(self._cluster.time.now)
        return self._cluster.bucket.leased.copy()

    @property
    def _leases(self) -> dict[str, tuple[bytes, str, float]]:
        return self._cluster.bucket.folders.get("leases", {})

    def expired(self) -> Any:
        """Return the leases that did not change for long, by the listings."""
        before = self._cluster.time.now - EXPIRY
        changes = ((int(name), changed) for name, (_, _, changed) in self._leases.items() if changed <= before)
        found = Numbers()
        for number, changed in changes:
            if self.first_seen(changed) <= before:
                found.add(number)
        return found

    def first_seen(self, changed: float) -> float:
        """Return when a version was first listed, by when it was written."""
        place = bisect_left(self._listings, changed)
        return self._listings[place] if place < len(self._listings) else math.inf


@dataclass
class _Listed:
    """What `Leases` remembers of listings, by lease."""

    leases: VirtualLeases

    def get(self, number: int, default: tuple[str, float]) -> tuple[str, float]:
        found = self.leases._leases.get(f"{number:06d}")
        if found is None or (first := self.leases.first_seen(found[2])) == math.inf:
            return default
        return json.dumps({"e_tag": found[1]}), first

    def __getitem__(self, number: int) -> tuple[str, float]:
        return self.get(number, ("", math.inf))


def _list_pages(bucket: VirtualBucket, folder: str) -> None:
    tolerant(FOLDER, lambda: bucket.list_pages(folder) or True)


class SimulatedWorker(ShardWorker):
    """The product's worker, whose computing is waiting."""

    def __init__(self, machine: Machine, leases: Leases):
        self._machine, self._cluster = machine, machine.cluster
        super().__init__(machine.cluster.job, leases)
        self._taken = Numbers()  # type: ignore[assignment]

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Wait as long as shards take; the next lease is requested while the last files are being read."""
        time, following = self._cluster.time, iter(leases)
        lease = self._begun(next(following, None))
        ready, stall = time.now, 0.0
        while lease is not None:
            seconds = self._cluster.seconds(lease.number) / self._machine.speed
            seconds *= self._cluster.scenario.careful if lease is careful else 1
            ahead = min(self._cluster.scenario.ahead, 1) * seconds
            ready += seconds + stall
            time.sleep(ready - ahead - time.now)
            after = self._begun(next(following, None))
            asked = time.now
            time.sleep(ready - time.now)
            yield lease, {f"failures/{shard_name(lease.number)}": b"", shard_name(lease.number): b""}
            stall = max(time.now - max(ready, asked) - ahead, 0)
            ready, lease = max(ready, asked), after

    def _begun(self, lease: Lease | None) -> Lease | None:
        if lease is not None:
            before = self._cluster.holders.get(lease.number)
            account = self._cluster.account
            account.stolen += before is not None and before.alive and before is not self._machine.actor
            account.careful += lease.careful
            self._cluster.holders[lease.number] = self._machine.actor
        return lease

    def write(self, number: int, files: Files) -> None:
        """Write a shard, and count it."""
        super().write(number, files)
        cluster, account = self._cluster, self._cluster.account
        if number not in cluster.done:
            cluster.done.add(number)
            account.useful += cluster.seconds(number)
            account.finished = cluster.time.now
        account.written.append(number)
        cluster.holders.pop(number, None)
        self._machine.last = cluster.time.now

    def todo(self) -> Sequence[int]:
        """Look for failures to read again, and rescan."""
        self.store.read("retry.json")
        found = super().todo()
        if not found:
            self.store.read("retry.json")
        return found

    def before_round(self) -> None:
        """Look for failures to read again."""
        self.store.read("retry.json")

    def list_done(self) -> Any:
        """List the shards, without going through the names of perhaps 65,000 each time."""
        for folder in ("", "failures"):
            _list_pages(self._cluster.bucket, folder)
        self.store.read("retry.json")
        return self._cluster.done.copy()

    def left(self) -> "array[int]":
        """As the product's, of bits."""
        return Numbers(self._cluster.all & ~bits_of(self.done)).in_order()

    def free(self, shards: Sequence[int]) -> "array[int]":
        """As the product's, of bits; the shards are always those that are left."""
        return Numbers(self._cluster.all & ~(bits_of(self.done) | bits_of(self._taken))).in_order()

    def reopen(self) -> list[int]:
        """Check that all shards are complete, together with the others, as `inference/completeness` does; all are."""
        bucket = self._cluster.bucket
        for folder in ("", "failures"):
            _list_pages(bucket, folder)
        number_of_shards = self._cluster.scenario.shards
        groups = list(range(0, number_of_shards, GROUP))
        random.shuffle(groups)
        known: set[int] = set()
        for first in groups:
            if first not in known:
                _list_pages(bucket, "checked")
                known = set(self._cluster.checked)
            if first not in known:
                reads = 2 * (min(first + GROUP, number_of_shards) - first)
                tolerant(FOLDER, lambda reads=reads: bucket.request_many("get", "", reads, REQUESTS) or True)
                self.store.put(f"checked/{first:06d}", b"")
                self._cluster.checked.add(first)
                known.add(first)
        return []

    def is_done(self, number: int) -> bool:
        """Look for the files of a shard, and whether it is to be scored again."""
        names = (shard_name(number), f"failures/{shard_name(number)}")
        return all(map(self.store.exists, names)) and self.store.read("retry.json") is None
