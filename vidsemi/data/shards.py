"""Shards of a manifest: ranges of examples that are scored together."""

import numpy as np
import pyarrow.compute as pc

from vidsemi.data.manifest import Manifest


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
