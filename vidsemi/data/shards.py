"""Shards of a manifest: ranges of examples that are computed together, and how their files are read."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
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
    total = len(manifest)
    if "member" not in manifest.columns:
        return [range(first, min(first + size, total)) for first in range(0, total, size)]
    shards, first, ends = [], 0, np.zeros(0, np.int64)
    for more in _tar_ends(manifest):
        ends = np.concatenate([ends[ends > first], more])
        while first < total and len(ends) and ends[-1] >= min(first + size, total):
            place = int(np.searchsorted(ends, first + size, side="right"))  # number of tars that fit
            stop = int(ends[place - 1]) if place and ends[place - 1] > first else int(ends[place])
            shards.append(range(first, stop))
            first = stop
    return shards


def _tar_ends(manifest: Manifest) -> Iterator[np.ndarray]:
    """The id after the last example of each tar, ascending; a file outside of tars counts as a tar of one example."""
    before = None
    for first, batch in zip(manifest.batches.starts, manifest.batches, strict=False):
        paths = batch.column("path")
        differs = pc.not_equal(paths, pa.concat_arrays([paths.slice(0, 1), paths.slice(0, len(paths) - 1)]))
        changes = differs.to_numpy(zero_copy_only=False) | pc.is_null(batch.column("member")).to_numpy(
            zero_copy_only=False
        )
        changes[0] = before is not None and (changes[0] or paths[0].as_py() != before)
        before = paths[-1].as_py()
        yield np.flatnonzero(changes) + first
    yield np.array([len(manifest)])


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
