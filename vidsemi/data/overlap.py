"""Examples that two manifests share, however they spell the paths: relative or absolute, by links, by other roots."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.dedup.equal_keys import DistinctKeys
from vidsemi.data.dedup.record_file import Partitions
from vidsemi.data.file_ids import file_ids
from vidsemi.data.manifest import Manifest
from vidsemi.data.mapped import temporary_folder
from vidsemi.runtime.arrays import distinct

FEW = 1 << 21  # examples of the first manifest up to which only what they may be is kept of the other one
AT_ONCE = 1 << 20  # examples to compare in memory
NUMBERED = np.dtype([("row", np.int64), ("file", np.int64)])
PART = {"member": pa.string(), "start": pa.float64(), "end": pa.float64()}  # columns that tell parts of a file apart


@dataclass(frozen=True)
class Overlap:
    """Examples of one manifest that another one has, too: ids in the first, (N,) int64 ascending."""

    same: np.ndarray  # the same file or member of a tar, and the same seconds of it or some of them
    other_part: np.ndarray  # only other seconds of the same file


def overlap(manifest: Manifest, other: Manifest) -> Overlap:
    """Find the examples of a manifest that are in another one; see `file_ids`.

    Examples beyond the first million wait in temporary files, in the folder of the copies of manifests: at most some
    60 bytes each, and as many for each file of their folders.
    """
    count = 1 + (len(manifest) + len(other)) // AT_ONCE
    folder = temporary_folder() if count > 1 else None
    same, other_part = np.zeros(len(manifest), bool), np.zeros(len(manifest), bool)
    with ExitStack() as stack:
        ours = stack.enter_context(file_ids(manifest, count, folder))
        wanted = _firsts(ours) if len(manifest) <= FEW else None
        theirs = stack.enter_context(file_ids(other, count, folder, wanted))
        for part in range(count):
            own, others = _in_common(ours.read(part), theirs.read(part))
            if len(own):
                is_same, is_other_part = _compare(manifest, own, other, others)
                same[own["row"][is_same]] = True
                other_part[own["row"][is_other_part]] = True
    return Overlap(np.flatnonzero(same), np.flatnonzero(other_part))


def _firsts(records: Partitions) -> np.ndarray:
    return distinct(np.concatenate([records.read(part)["key"][:, 0] for part in range(records.count)]))


def _in_common(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The examples of both sides whose file both have, with the number of that file: records of `NUMBERED`."""
    keys = np.concatenate([ours["key"], theirs["key"]])
    files = DistinctKeys(2).add(keys, np.arange(len(keys)))  # the first row with each key
    own, others = np.empty(len(ours), NUMBERED), np.empty(len(theirs), NUMBERED)
    for numbered, records, numbers in ((own, ours, files[: len(ours)]), (others, theirs, files[len(ours) :])):
        numbered["row"], numbered["file"] = records["row"], numbers
    others = others[others["file"] < len(own)]
    is_shared = np.zeros(len(own), bool)
    is_shared[others["file"]] = True
    return own[is_shared[own["file"]]], others


def _compare(manifest: Manifest, own: np.ndarray, other: Manifest, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of our examples are in the other manifest, and of which it only has other seconds; (N,) bool."""
    if not {*PART}.intersection([*manifest.columns, *other.columns]):
        return np.ones(len(own), bool), np.zeros(len(own), bool)
    tables = [_parts(manifest, own["row"]), _parts(other, others["row"])]
    members = pc.dictionary_encode(pa.concat_tables(tables).column("member"), null_encoding="encode").combine_chunks()
    codes = members.indices.to_numpy().astype(np.int64)
    parts = np.concatenate([own["file"], others["file"]]) * len(members.dictionary) + codes
    parts = np.unique(parts, return_inverse=True)[1]
    starts, ends = (
        [pc.fill_null(table.column(name), missing).to_numpy() for table in tables]
        for name, missing in (("start", 0.0), ("end", np.inf))
    )
    mine, theirs = parts[: len(own)], parts[len(own) :]
    same = have_seconds_in_common((mine, starts[0], ends[0]), (theirs, starts[1], ends[1]))
    return same, ~same & np.isin(mine, theirs)


def _parts(manifest: Manifest, rows: np.ndarray) -> pa.Table:
    """The columns of `PART` of some examples."""
    taken = manifest.batches.take(rows, [name for name in PART if name in manifest.columns])
    columns = [taken.column(name) if name in taken.column_names else pa.nulls(len(rows), PART[name]) for name in PART]
    return pa.table(columns, pa.schema([*PART.items()]))


Seconds = tuple[np.ndarray, np.ndarray, np.ndarray]  # (N,) each: of what, the first second and the last one


def have_seconds_in_common(own: Seconds, others: Seconds) -> np.ndarray:
    """Which of some seconds overlap any of others of the same number, (N,) bool."""
    number, start, end = others
    end = np.where(np.isnan(end), -np.inf, end)  # never overlaps
    order = np.lexsort((start, number))
    number, start, end = number[order], start[order], end[order]
    # Numbers and times as one integer: of the others up to a row the latest end, and how many of them begin in time.
    ends, end_place = np.unique(end, return_inverse=True)
    latest = np.maximum.accumulate(number * len(ends) + end_place) - number * len(ends)
    begins, begin_place = np.unique(start, return_inverse=True)
    size = len(begins) + 1
    in_time = np.searchsorted(begins, own[2])  # of the times at which others begin
    last = np.searchsorted(number * size + begin_place, own[0] * size + in_time) - 1
    is_known = (last >= 0) & ~np.isnan(own[2])
    last = np.maximum(last, 0)
    overlapping: np.ndarray = is_known & (number[last] == own[0]) & (ends[latest[last]] > own[1])
    return overlapping
