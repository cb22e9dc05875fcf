"""What a simulated cluster is driven by: the times of shards in a directory of scores, and of requests to a store."""

import math
import statistics
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tools.bench.virtual_bucket import StoreCosts
from vidsemi.io.errors import UserError
from vidsemi.io.store import is_remote, open_store, parse_place, shard_numbers

REPEATS = 30  # requests of each kind that are measured
# Amazon S3: "best practices design patterns" for the rates of a prefix, and 100 to 200 ms for small objects
WRITES, READS = 3500.0, 5500.0
ASSUMED = 0.1
SPREAD = 0.5


def assumed_costs() -> StoreCosts:
    """Return what the documentation of S3 says."""
    seconds = dict.fromkeys(("put", "get", "list", "delete"), ASSUMED)
    return StoreCosts(seconds, SPREAD, WRITES, READS, f"assumed, {1000 * ASSUMED:.0f} ms a request")


def measured_costs(address: str) -> StoreCosts:
    """Measure requests to a store; the rates that it allows are S3's.

    Raises:
        UserError: the address is not one of an object store, or it cannot be reached.
    """
    if not is_remote(address):
        raise UserError(
            "arguments.invalid_address", f"--store is {address}; give an address such as s3://bucket/folder"
        )
    store, folder = open_store(parse_place(address)), f"bench-{uuid.uuid4().hex}"
    names = [f"{folder}/{number:06d}" for number in range(REPEATS)]
    calls: dict[str, Callable[[str], object]] = {
        "put": lambda name: store.create(name, name.encode()),
        "get": store.read,
        "list": lambda name: store.names(folder),
        "delete": store.remove,
    }
    times = {kind: [_timed(call, name) for name in names] for kind, call in calls.items()}
    seconds = {kind: statistics.median(taken) for kind, taken in times.items()}
    logs = [math.log(one / seconds[kind]) for kind, taken in times.items() for one in taken]
    source = ", ".join(f"{kind} {1000 * value:.1f} ms" for kind, value in seconds.items())
    return StoreCosts(seconds, statistics.pstdev(logs), WRITES, READS, f"measured on {address}: {source}")


def _timed(call: Callable[[str], object], name: str) -> float:
    begin = time.perf_counter()
    call(name)
    return time.perf_counter() - begin


def shard_seconds(folder: Path) -> list[float]:
    """Return the times between the shards that one worker wrote into a directory of scores, ascending.

    Raises:
        UserError: it has fewer than three shards.
    """
    names = [file for file in folder.glob("part-*.parquet") if shard_numbers([file.name])]
    written = sorted(file.stat().st_mtime for file in names)
    times = [after - before for before, after in pairwise(written) if after > before]
    if len(times) < 2:
        raise UserError("bench.too_few_shards", f"{folder} has fewer than three shards to take times from")
    return sorted(times)
