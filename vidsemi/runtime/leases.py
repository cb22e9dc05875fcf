"""Leases: which worker has which shard. Workers on any number of machines share a store and nothing else.

A worker creates `leases/NNNNNN`, writes the shard, and removes the lease; meanwhile it renews the lease by changing
its content. A lease whose worker is dead, or that does not change for `EXPIRY` seconds of the observer's own clock, is
taken over. Clocks of machines are not compared, so they may differ. If two workers ever hold one shard, both write the
same bytes.
"""

import json
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.store import Store
from vidsemi.runtime.process import is_dead, lives_here, this_process

RENEW_EVERY = 30.0  # seconds
AWAY = 20.0  # seconds that a listing takes only if the store was away meanwhile
EXPIRY = 180.0  # seconds; network file systems may show a change up to 60 s late
# Attempt; being careful is slow, and deaths tell little. With shards of 40 s and two kills an hour, 100 workers lost a
# quarter of their time to shards that two had died with, and none with those of three (tools/bench.py cluster).
CAREFUL_FROM = 4
MAX_SHARDS = 10**12
MAX_BYTES = 1 << 20  # of a lease
MAX_DEATHS = 3  # of workers that were reading one example and nothing else; it is then not read again


def patience(seconds_per_file: float) -> float:
    """Return after how many seconds without progress a worker counts as hung."""
    return 2 * seconds_per_file + 600


@dataclass
class Lease:
    """A shard that this worker holds."""

    number: int
    attempt: int = 1  # one more for each worker that died with the shard
    deaths: dict[int, int] = field(default_factory=dict)  # workers that died while they read an example, by its id
    reading: int | None = None  # the example that is being read, where that is noted
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells this lease from others of the same shard
    renewals: int = 0
    version: str = ""  # that this worker wrote last

    @property
    def careful(self) -> bool:
        """Whether to read one example at a time and note which, since workers died with this shard."""
        return self.attempt >= CAREFUL_FROM

    @property
    def crashing(self) -> set[int]:
        """Examples that crashed `MAX_DEATHS` workers and are not read again."""
        return {example_id for example_id, deaths in self.deaths.items() if deaths >= MAX_DEATHS}

    def content(self, owner: dict[str, Any] | None) -> bytes:
        """Return the content of the file."""
        names = ("token", "attempt", "reading", "deaths", "renewals")
        return json.dumps({"owner": owner, **{name: getattr(self, name) for name in names}}).encode()


class Leases:
    """The leases of a job: a context that renews those of this worker and gives them back when it ends.

    After `patience` seconds without `report_progress` this worker counts as hung and renews no more. Whatever else is
    in a local folder, such as links, folders, or leases of shards from number `shards` on, is named and put aside.
    """

    def __init__(self, store: Store, patience: float, shards: int = MAX_SHARDS, folder: str = "leases"):
        self._store, self._folder, self._patience, self._shards = store, folder, patience, shards
        self._progress = monotonic()
        self._held: dict[int, Lease] = {}
        self._changing = Lock()  # of a lease, by this thread or the one that renews
        self._seen: dict[int, tuple[str, float]] = {}  # version of a lease of another worker, and since when
        self._listed: dict[int, tuple[str, float]] = {}  # the same, by listings of a server
        self._ended = Event()
        self._thread = Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Leases":
        self._put_junk_aside()
        for name, version in self._store.versions(self._folder).items():
            if self._is_lease(name):  # so that leases of dead workers expire while this one works on other shards
                _unchanged_since(self._seen, int(name), version)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        self._thread.join()
        if isinstance(error, UserError) and error.code.startswith("store."):
            return  # which is away; the leases expire
        for lease in list(self._held.values()):
            self._give_back(lease)

    def report_progress(self) -> None:
        """Report that this worker is not hung."""
        self._progress = monotonic()

    def leased(self) -> set[int]:
        """Return the shards of which there is a lease, of whomever; a server tells their versions at no cost."""
        if not self._store.remote:
            return {int(name) for name in self._store.names(self._folder) if self._is_lease(name)}
        began = monotonic()
        versions = self._store.versions(self._folder)
        if monotonic() - began > AWAY:  # and nobody could renew a lease
            self._listed, self._seen = {}, {}
        self._listed = {
            int(name): (version, _unchanged_since(self._listed, int(name), version))
            for name, version in versions.items()
            if self._is_lease(name)
        }
        return set(self._listed)

    def expired(self) -> set[int]:
        """Return the leases that did not change for long, by the listings of a server."""
        return {number for number, (_, since) in self._listed.items() if monotonic() - since >= EXPIRY}

    def take(self, number: int) -> Lease | None:
        """Lease a shard; None if another worker holds it."""
        lease = Lease(number)
        with self._changing:
            self._held[number] = lease  # before the file, so that an interrupt between the two leaves no file
            version = self._store.create(self._name(number), lease.content(this_process()))
            return self._got(lease, version)

    def _got(self, lease: Lease, version: str | None) -> Lease | None:
        if version is None:
            del self._held[lease.number]
            return None
        lease.version = version
        return lease

    def take_over(self, number: int) -> Lease | None:
        """Lease a shard whose worker is gone; None if the worker lives or there is no lease."""
        name = self._name(number)
        found = self._store.read(name, MAX_BYTES)
        if found is None:
            return None
        text, version = found
        content = _parse(text)
        since = _unchanged_since(self._seen, number, version)
        if self._listed.get(number, ("", 0.0))[0] == version:
            since = min(since, self._listed[number][1])
        age = monotonic() - since
        if not (content and is_dead(content["owner"])) and age < EXPIRY:
            return None
        lease = _successor(number, content)
        with self._changing:
            self._held[number] = lease
            why = "is damaged" if content is None else None
            return self._got(lease, self._store.swap(name, lease.content(this_process()), version, keep=why))

    def note(self, lease: Lease, example_id: int | None) -> None:
        """Record which example is being read, for the worker that takes over if this one dies."""
        lease.reading = example_id
        self._renew_one(lease, this_process())

    def state(self, number: int) -> str | None:
        """Return a text that changes when the lease of a shard does; None if there is none."""
        found = self._store.read(self._name(number), MAX_BYTES)
        return None if found is None else found[1]

    def is_held_here(self, number: int) -> bool:
        """Return whether a process of this machine that lives has the lease of a shard."""
        content = self._content(number)
        return bool(content and lives_here(content["owner"]))

    def release(self, lease: Lease) -> None:
        """Remove the lease of a shard that is written, or that others may take."""
        with self._changing:
            if self.owns(lease):
                self._store.remove(self._name(lease.number))
            self._held.pop(lease.number, None)

    def clear(self) -> None:
        """Remove all leases once every shard is done; a worker may have died between its shard and its lease."""
        for number in self.leased():
            self._store.remove(self._name(number))
        self._store.clean_up(self._folder)

    def owns(self, lease: Lease) -> bool:
        """Return whether this worker still holds a lease; one that took it for dead may have taken over."""
        content = self._content(lease.number)
        return bool(content and content["token"] == lease.token)

    def _content(self, number: int) -> dict[str, Any] | None:
        found = self._store.read(self._name(number), MAX_BYTES)
        return None if found is None else _parse(found[0])

    def _give_back(self, lease: Lease) -> None:
        """Leave a shard to others, and with it what is known about its examples."""
        if lease.attempt == 1:
            self.release(lease)
        else:
            lease.reading = None
            with suppress(OSError):
                self._renew_one(lease, None)

    def _is_lease(self, name: str) -> bool:
        known = name.isascii() and name.isdecimal() and len(name) <= 12 and name == f"{int(name):06d}"
        return known and int(name) < self._shards

    def _put_junk_aside(self) -> None:
        self._store.put_junk_aside(self._folder, self._is_lease, "", "is not the lease of a shard")

    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:06d}"

    def _renew_one(self, lease: Lease, owner: dict[str, Any] | None) -> None:
        with self._changing:
            if lease.number not in self._held or not lease.version:
                return
            lease.renewals += 1
            version = self._store.renew(self._name(lease.number), lease.content(owner), lease.version)
            lease.version = version or lease.version  # or another worker has taken over

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_EVERY):
            for lease in list(self._held.values()) if monotonic() - self._progress < self._patience else []:
                with suppress(OSError, UserError):  # what is wrong with the store, the worker itself finds out
                    self._renew_one(lease, this_process())


def _unchanged_since(seen: dict[int, tuple[str, float]], number: int, version: str) -> float:
    if number not in seen or seen[number][0] != version:
        seen[number] = (version, monotonic())
    return seen[number][1]


def _parse(text: bytes) -> dict[str, Any] | None:
    """Parse the content of a lease; None if it is damaged."""
    try:
        content = json.loads(text)
        lease = {
            "owner": content["owner"],
            "token": str(content["token"]),
            "attempt": int(content["attempt"]),
            "reading": None if content["reading"] is None else int(content["reading"]),
            "deaths": {int(example_id): int(deaths) for example_id, deaths in content["deaths"].items()},
        }
        deaths: Iterable[int] = lease["deaths"].values()
        possible = min(deaths, default=0) >= 0 and sum(deaths) <= lease["attempt"] + 1  # each death adds an attempt
        return lease if possible and lease["attempt"] < MAX_SHARDS else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _successor(number: int, content: dict[str, Any] | None) -> Lease:
    if content is None:
        return Lease(number, attempt=2)
    deaths = dict(content["deaths"])
    if content["reading"] is not None:
        deaths[content["reading"]] = deaths.get(content["reading"], 0) + 1
    return Lease(number, attempt=content["attempt"] + (content["owner"] is not None), deaths=deaths)
