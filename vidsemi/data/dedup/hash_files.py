"""Hash the files of a manifest, each once: hashes are cached in Parquet shards that later calls read."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.config import Runtime
from vidsemi.data.dedup.file_keys import file_keys
from vidsemi.data.dedup.hash_job import (
    SCHEMA,
    SHARD,
    HashJob,
    join_job,
    manifest_id,
    run_job,
    unfinished_jobs,
)
from vidsemi.data.dedup.hash_store import RECORD, HashStore
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import remove_temporary
from vidsemi.io.parquet import read_parquet
from vidsemi.io.store import Place, Store, open_store, read_many

TEMPORARY_SECONDS = 3600.0  # younger temporary files may belong to another command with the same folder
BLOCK = 1 << 22  # examples whose hashes are gathered in memory at once: 0.5 GB


@dataclass(frozen=True)
class HashedManifest:
    """A manifest and the hashes of its examples.

    Examples that do not decode are `unread`, with the reason. Near duplicates of them are not found, and exact ones
    only if their bytes could be read.
    """

    manifest: Manifest
    hashes: HashStore
    unread: list[tuple[int, str]]

    @property
    def flat(self) -> int:
        """Number of examples that decode, but show too little for a perceptual hash."""
        return self.hashes.flat - len(self.unread)


def hash_manifest(
    manifest: Manifest, folder: Place, *, workers: int, seconds: float, engine: Runtime | None = None
) -> HashedManifest:
    """Hash all examples of a manifest, together with all workers that do so with the same folder.

    Hashes of unchanged files (path, member, trim, size, time) are read from the shards in the folder, a directory or a
    place in an object store, which datasets can share; others are computed and added. Files that do not decode are
    tried again by every call, but not by one that resumes. Memory does not grow with the manifest: it is read four
    million examples at a time, and for each of these blocks its shards and those of other manifests. With an `engine`
    workers on Ray do the hashing.

    Raises:
        UserError: no file can be read, or the folder has damaged files.
    """
    store, runtime = open_store(folder), engine or Runtime(workers=workers, seconds_per_file=seconds)
    local = folder if isinstance(folder, Path) else Path(tempfile.gettempdir())
    local.mkdir(parents=True, exist_ok=True)
    if local is folder:
        remove_temporary(local, TEMPORARY_SECONDS)
    hashes = HashStore(local)
    unread: list[tuple[int, str]] = []
    for begin in range(0, len(manifest), BLOCK):
        block = range(begin, min(begin + BLOCK, len(manifest)))
        records, failures = _hash_block(manifest, block, store, runtime)
        hashes.append(records)
        del records  # 0.3 GB, which the next block needs
        unread += sorted(failures.items())
    if len(unread) == len(manifest):
        path, why = manifest.row(0).path, unread[0][1]
        raise UserError(
            "duplicates.no_readable_files",
            f"none of the {len(manifest)} files of {manifest.file} can be read, such as {path}: {why}",
        )
    return HashedManifest(manifest, hashes, unread)


def _hash_block(manifest: Manifest, block: range, store: Store, runtime: Runtime) -> tuple[np.ndarray, dict[int, str]]:
    """The records of some examples, and why others do not decode."""
    records = np.zeros(len(block), RECORD)
    keys, records["is_image"] = file_keys(manifest, block)
    _fill_trims(manifest, block, records)
    by_key = _ExamplesByKey(keys)
    own = manifest_id(manifest), str(block.start)
    while True:  # once, unless files change or shards are removed meanwhile
        known, failures = np.zeros(len(block), bool), dict[int, str]()
        if job := join_job(store, manifest, block, lambda: ~_find_known(store, own, by_key, len(block))):
            run_job(job, manifest, keys[job.examples - block.start], runtime)
            for examples, table in _results(job):
                places, rows = examples - block.start, np.arange(len(examples))
                same = (_numbers(table["key"]).reshape(-1, 2) == keys[places]).all(
                    axis=1
                )  # a job may resume after days
                known[places[same]] = True
                _fill(records, places[same], table, rows[same])
                errors = zip(examples.tolist(), table["error"].to_pylist(), strict=True)
                failures |= {example: error for example, error in errors if error is not None}
        if not known.all():
            _fill_known(records, known, store, own, by_key)
        if known.all():
            return records, failures


def _find_known(store: Store, own: tuple[str, str], by_key: "_ExamplesByKey", count: int) -> np.ndarray:
    """Which of the examples have their hashes in the store; removes shards of nothing but failures."""
    known = np.zeros(count, bool)
    unfinished = unfinished_jobs(store)
    for name, table in _read_shards(store, own, ["key", "error"]):
        hashed = table.filter(pc.is_null(table["error"]))
        known[by_key.find(hashed["key"])[0]] = True
        match = SHARD.fullmatch(name)
        if not len(hashed) and match is not None and match["id"] not in unfinished:
            store.remove(name)
    return known


def _fill_known(
    records: np.ndarray, known: np.ndarray, store: Store, own: tuple[str, str], by_key: "_ExamplesByKey"
) -> None:
    """Fill in the records of the other examples that have their hashes in the store, and mark them as known."""
    for _, table in _read_shards(store, own, SCHEMA.names):
        hashed = table.filter(pc.is_null(table["error"]))
        places, rows = by_key.find(hashed["key"])
        new = ~known[places]  # the first of several shards that have a key counts
        _fill(records, places[new], hashed, rows[new])
        known[places] = True


def _fill(records: np.ndarray, places: np.ndarray, table: pa.Table, rows: np.ndarray) -> None:
    """Copy the hashes of some rows of a shard into records."""
    records["content"][places] = _numbers(table["content"]).reshape(-1, 2)[rows]
    lists = table["frames"].take(pa.array(rows))
    counts = pc.list_value_length(lists).to_numpy()
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    records["frames"][np.repeat(places, counts), columns] = pc.list_flatten(lists).to_numpy()


def _results(job: HashJob) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """The examples and the file of each shard of a job; one that was removed meanwhile is left out."""
    names = [job.shard_name(number) for number in range(len(job.shards))]
    for shard, (_, table) in zip(job.shards, _read_files(job.store, names, SCHEMA.names), strict=True):
        if table is not None:
            yield job.examples[shard.start : shard.stop], table


class _ExamplesByKey:
    """The places of keys, (N, 2) uint64; several examples may have one key."""

    def __init__(self, keys: np.ndarray):
        self._order = np.argsort(keys[:, 0], kind="stable")
        self._keys = keys[self._order]

    def find(self, column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
        """Places of keys and rows of a column of a shard that are equal, pair by pair."""
        wanted = _numbers(column).reshape(-1, 2)
        begin = np.searchsorted(self._keys[:, 0], wanted[:, 0])
        counts = np.searchsorted(self._keys[:, 0], wanted[:, 0], "right") - begin
        rows = np.repeat(np.arange(len(wanted)), counts)
        sorted_places = np.arange(counts.sum()) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
        equal = self._keys[sorted_places, 1] == wanted[rows, 1]
        return self._order[sorted_places[equal]], rows[equal]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The values of a column of binaries of one length as uint64, in a row."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    width = column.type.byte_width
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint64, len(chunk) * width // 8, offset=chunk.offset * width)
        for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _fill_trims(manifest: Manifest, examples: range, records: np.ndarray) -> None:
    """Fill in the trims of records: infinite if not trimmed, as images always are."""
    records["trim"] = [-np.inf, np.inf]
    for place, name in enumerate(("start", "end")):
        if name in manifest.columns:
            column = manifest.batches.slice(examples).column(name)
            seconds = column.to_numpy().astype(np.float64)
            trimmed = ~np.isnan(seconds) & ~records["is_image"]
            records["trim"][trimmed, place] = seconds[trimmed]


def _read_shards(store: Store, own: tuple[str, str], columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """Read the shards of all jobs but those of other blocks of the same manifest, which has other files there."""
    found = [match for name in store.names() if (match := SHARD.fullmatch(name))]
    names = sorted(match[0] for match in found if match["manifest"] != own[0] or match["first"] == own[1])
    return ((name, table) for name, table in _read_files(store, names, columns) if table is not None)


def _read_files(store: Store, names: Sequence[str], columns: list[str]) -> Iterator[tuple[str, pa.Table | None]]:
    """Read files of hashes; None for one that was removed."""
    schema = pa.schema([SCHEMA.field(name) for name in columns])

    def read(name: str) -> pa.Table | None:
        try:
            return read_parquet(store.place(name), columns).cast(schema)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise UserError(
                "duplicates.unreadable_cache",
                f"{store.place(name)} cannot be read ({error}); delete it to hash its files again",
            ) from None

    return zip(names, read_many(read, names, remote=store.remote), strict=True)
