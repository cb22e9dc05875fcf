"""A bucket in virtual time, behind the functions of obstore that `vidsemi.io.object_store` calls.

Each request takes its time; above the limits of the prefix it is refused, as S3 does (503, slow down).
"""

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from tools.bench.virtual_numbers import Numbers
from tools.bench.virtual_time import VirtualTime
from vidsemi.io import object_store

PAGE = 1000  # names that a listing returns in one request
WINDOW = 10.0  # seconds in which the highest rate is looked for
KINDS = ("put", "get", "list", "delete")


@dataclass(frozen=True)
class StoreCosts:
    """What requests take: medians in seconds by kind, and how many a second the store allows."""

    seconds: dict[str, float]
    spread: float  # standard deviation of the logarithm
    writes: float  # puts and deletes a second
    reads: float  # gets and listings a second
    source: str


@dataclass
class _Limit:
    """Lets through so many requests a second, and those of one second at once."""

    rate: float
    used: float = 0.0
    since: float = 0.0

    def allows(self, now: float) -> bool:
        self.used = max(self.used - (now - self.since) * self.rate, 0.0)
        self.since = now
        if self.used + 1 > self.rate:
            return False
        self.used += 1
        return True


@dataclass
class VirtualBucket:
    """The files of one job, by their names in its folder."""

    time: VirtualTime
    costs: StoreCosts
    dice: random.Random
    folders: dict[str, dict[str, tuple[bytes, str, float]]] = field(default_factory=dict)  # content, version, since
    requests: Counter[str] = field(default_factory=Counter)  # by kind, those that were refused too
    throttled: int = 0
    leased: Numbers = field(default_factory=Numbers)
    log: list[tuple[int, str, str]] | None = None  # of worker, kind and name
    _windows: dict[str, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    _versions: int = 0

    def __post_init__(self) -> None:
        self._writes, self._reads = _Limit(self.costs.writes), _Limit(self.costs.reads)

    def busiest(self, kind: str) -> float:
        """Return the highest rate of requests a second."""
        return max(self._windows[kind].values(), default=0) / WINDOW

    def request(self, kind: str, name: str) -> None:
        """Wait for one request to be answered; the store is as it is at that moment."""
        self.requests[kind] += 1
        self._windows[kind][int(self.time.now / WINDOW)] += 1
        if self.log is not None:
            self.log.append((self.time.actor.name, kind, name.removeprefix("scores/")))
        allowed = (self._writes if kind in ("put", "delete") else self._reads).allows(self.time.now)
        self.time.sleep(self.costs.seconds[kind] * math.exp(self.dice.gauss(0, self.costs.spread)))
        if not allowed:
            self.throttled += 1
            raise GenericError("status code: 503: SlowDown")

    def request_many(self, kind: str, name: str, count: int, at_once: int) -> None:
        """Wait for many requests, of which several are made at once; a refusal of one is a refusal of all."""
        for _ in range(count - 1):
            self.requests[kind] += 1
            self._windows[kind][int(self.time.now / WINDOW)] += 1
            if self.log is not None:
                self.log.append((self.time.actor.name, kind, name))
            if not self._reads.allows(self.time.now):
                break
        self.time.sleep((count / at_once - 1) * self.costs.seconds[kind])
        self.request(kind, name)

    def list_pages(self, folder: str) -> None:
        """Take the time of listing a folder."""
        for _ in range(max(math.ceil(len(self.folders.get(folder, ())) / PAGE), 1)):
            self.request("list", folder)

    def _file(self, key: str) -> tuple[dict[str, tuple[bytes, str, float]], str]:
        folder, _, name = key.removeprefix("scores").strip("/").rpartition("/")
        return self.folders.setdefault(folder, {}), name

    def put(self, store: Any, key: str, content: bytes, *, mode: Any = None, **more: Any) -> dict:
        """As `obstore.put`."""
        self.request("put", key)
        files, name = self._file(key)
        if mode == "create" and name in files:
            raise AlreadyExistsError(key)
        if isinstance(mode, dict) and (name not in files or mode["e_tag"] != files[name][1]):
            raise PreconditionError(key)
        self._versions += 1
        if key.startswith("scores/leases/"):
            self.leased.add(int(name))
        files[name] = (content, str(self._versions), self.time.now)
        return _meta(key, *files[name])

    def get(self, store: Any, key: str) -> Any:
        """As `obstore.get`."""
        found = self._found(key)
        return SimpleNamespace(meta=_meta(key, *found), bytes=lambda: found[0])

    def head(self, store: Any, key: str) -> dict:
        """As `obstore.head`."""
        return _meta(key, *self._found(key))

    def _found(self, key: str) -> tuple[bytes, str, float]:
        self.request("get", key)
        files, name = self._file(key)
        if name not in files:
            raise FileNotFoundError(key)
        return files[name]

    def delete(self, store: Any, key: str) -> None:
        """As `obstore.delete`."""
        self.request("delete", key)
        files, name = self._file(key)
        files.pop(name, None)
        if key.startswith("scores/leases/"):
            self.leased.discard(int(name))

    def list_with_delimiter(self, store: Any, prefix: str | None) -> dict:
        """As `obstore.list_with_delimiter`."""
        folder = (prefix or "").removeprefix("scores").strip("/")
        self.list_pages(folder)
        return {"objects": [_meta(name, *found) for name, found in self.folders.get(folder, {}).items()]}

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Have this be the bucket that object stores reach."""
        names = ("put", "get", "head", "delete", "list_with_delimiter")
        with (
            patch.multiple(obstore, **{name: getattr(self, name) for name in names}),
            patch.object(object_store, "connect", lambda root, **options: None),
        ):
            yield


def _meta(key: str, content: bytes, version: str, since: float) -> dict:
    return {"path": key, "size": len(content), "e_tag": version, "version": None}
