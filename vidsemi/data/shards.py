"""Shards of a manifest: ranges of examples that are computed together, and how their files are read."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow.compute as pc

from vidsemi.data.manifest import Manifest
from vidsemi.data.reachable import Dataset, Known, nothing_known, read_reachable
from vidsemi.data.worker_process import File, Result
from vidsemi.io.errors import DecodeError


def shard_ranges(manifest: Manifest, size: int) -> list[range]:
    """The example ids of each shard of `size` examples, in order.

    A tar is never split, so that one worker reads it sequentially: a shard has as many whole tars as fit, but at least
    one.
    """
    ends = _tar_ends(manifest) if "member" in manifest.table.column_names else None
    shards, first = [], 0
    while first < len(manifest):
        stop = min(first + size, len(manifest))
        if ends is not None:
            place = int(np.searchsorted(ends, stop, side="right"))  # number of tars that end at `stop` or before
            stop = int(ends[place - 1]) if place and ends[place - 1] > first else int(ends[place])
        shards.append(range(first, stop))
        first = stop
    return shards


def _tar_ends(manifest: Manifest) -> np.ndarray:
    """The id after the last example of each tar, ascending; a file outside of tars counts as a tar of one example."""
    paths = manifest.table.column("path")
    codes = pc.dictionary_encode(paths).combine_chunks().indices.to_numpy()
    inside = pc.is_valid(manifest.table.column("member")).to_numpy()
    changes = (np.diff(codes) != 0) | ~inside[1:]
    return np.append(np.flatnonzero(changes) + 1, len(manifest))


def read_carefully(
    read: Callable[[File], Result],
    files: Iterable[File],
    *,
    dataset: Dataset,
    workers: int,
    seconds: float,
    note: Callable[[int | None], None],
    known: Known = nothing_known,
) -> Generator[Result | DecodeError, None, None]:
    """Read as `read_reachable` does, but one file at a time, so that one that ends this process is identified.

    `note` receives the id of the example before it is read, and None after that.
    """

    def noted() -> Iterator[File]:
        for file in files:
            row: Any = getattr(file, "row", file)
            note(row.example_id)
            yield file

    options: dict[str, Any] = {"workers": min(workers, 1), "seconds": seconds, "prefetch": 1, "known": known}
    with closing(read_reachable(read, noted(), dataset, **options)) as results:
        for result in results:
            note(None)
            yield result
