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
BLOCK = 1 << 22  # examples whose keys are in memory at once: 67 MB; names of jobs and shards hold the first one


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
        block = _Block(manifest, range(begin, min(begin + BLOCK, len(manifest))), store, hashes)
        block.hash(runtime)
        unread += sorted(block.failures.items())
    if len(unread) == len(manifest):
        path, why = manifest.row(0).path, unread[0][1]
        raise UserError(
            "duplicates.no_readable_files",
            f"none of the {len(manifest)} files of {manifest.file} can be read, such as {path}: {why}",
        )
    return HashedManifest(manifest, hashes, unread)


class _Block:
    """Some consecutive examples, whose hashes go to a `HashStore` once they are known.

    Attributes:
        failures: why examples do not decode.
    """

    def __init__(self, manifest: Manifest, examples: range, store: Store, hashes: HashStore):
        self._manifest, self._examples, self._store, self._hashes = manifest, examples, store, hashes
        self._keys, self._is_image = file_keys(manifest, examples)
        self._known = np.zeros(len(examples), bool)
        self.failures: dict[int, str] = {}

    def hash(self, runtime: Runtime) -> None:
        """Read the hashes from the store, and compute those that it lacks."""
        begin = self._examples.start
        while not self._known.all():  # again only if files change or shards are removed meanwhile
            if job := join_job(self._store, self._manifest, self._examples, self._unknown):
                run_job(job, self._manifest, self._keys[job.examples - begin], runtime)
                for examples, table in _results(job):
                    keys = _numbers(table["key"]).reshape(-1, 2)
                    same = np.flatnonzero(
                        (keys == self._keys[examples - begin]).all(axis=1)
                    )  # files may change before a job resumes
                    self._fill(examples[same] - begin, table, same)
                    errors = zip(examples[same].tolist(), table["error"].take(same).to_pylist(), strict=True)
                    self.failures |= {example: error for example, error in errors if error is not None}
                if not self._known.all():
                    for _ in self._fill_from_shards():
                        pass

    def _unknown(self) -> np.ndarray:
        """Which examples have no hashes in the store, (N,) bool; removes shards of nothing but failures."""
        unfinished = unfinished_jobs(self._store)
        for name in self._fill_from_shards():
            match = SHARD.fullmatch(name)
            if match is not None and match["id"] not in unfinished:
                self._store.remove(name)
        return ~self._known

    def _fill_from_shards(self) -> Iterator[str]:
        """Take the hashes of examples from shards until all are known; yields those of nothing but failures.

        Most blocks need no more than their own shards, whose examples follow one another.
        """
        by_key: _ExamplesByKey | None = None
        begin = 0
        for name, table in self._shards():
            hashed = np.flatnonzero(pc.is_null(table["error"]).to_numpy())
            if not len(hashed):
                yield name
                continue
            keys = _numbers(table["key"]).reshape(-1, 2)
            if np.array_equal(keys, self._keys[begin : begin + len(keys)]):
                places, rows = begin + hashed, hashed
                begin += len(keys)
            else:
                by_key = by_key or _ExamplesByKey(self._keys)
                places, found = by_key.find(keys[hashed])
                rows = hashed[found]
            self._fill(places, table, rows)
            if self._known.all():
                return

    def _shards(self) -> Iterator[tuple[str, pa.Table]]:
        """Read the shards of the block, then those of other manifests."""
        own, begin = manifest_id(self._manifest), str(self._examples.start)
        found = [match for name in self._store.names() if (match := SHARD.fullmatch(name))]
        names = sorted(
            (match["manifest"] != own, match[0])
            for match in found
            if match["manifest"] != own or match["first"] == begin  # the others have other files
        )
        tables = _read_files(self._store, [name for _, name in names])
        return ((name, table) for name, table in tables if table is not None)

    def _fill(self, places: np.ndarray, table: pa.Table, rows: np.ndarray) -> None:
        """Store the hashes of some rows of a shard, unless they are known."""
        new = ~self._known[places]  # the first of several shards that have a key counts
        places, first = np.unique(places[new], return_index=True)
        rows = rows[new][first]
        records = np.zeros(len(rows), RECORD)
        records["content"] = _numbers(table["content"]).reshape(-1, 2)[rows]
        lists = table["frames"].take(pa.array(rows))
        counts = pc.list_value_length(lists).to_numpy()
        columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        records["frames"][np.repeat(np.arange(len(rows)), counts), columns] = pc.list_flatten(lists).to_numpy()
        records["is_image"] = self._is_image[places]
        records["trim"] = self._trims(places, records["is_image"])
        self._hashes.put(self._examples.start + places, records)
        self._known[places] = True

    def _trims(self, places: np.ndarray, is_image: np.ndarray) -> np.ndarray:
        """The trims of some examples, (N, 2): infinite if not trimmed, as images always are."""
        trims = np.tile([-np.inf, np.inf], (len(places), 1))
        names = [name for name in ("start", "end") if name in self._manifest.columns]
        if names and len(places):
            table = self._manifest.batches.take(self._examples.start + places, names)
            for name in names:
                seconds = table[name].to_numpy().astype(np.float64)
                trimmed = ~np.isnan(seconds) & ~is_image
                trims[trimmed, 0 if name == "start" else 1] = seconds[trimmed]
        return trims


def _results(job: HashJob) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """The examples and the file of each shard of a job; one that was removed meanwhile is left out."""
    names = [job.shard_name(number) for number in range(len(job.shards))]
    for shard, (_, table) in zip(job.shards, _read_files(job.store, names), strict=True):
        if table is not None:
            yield job.examples[shard.start : shard.stop], table


class _ExamplesByKey:
    """The places of keys, (N, 2) uint64; several examples may have one key."""

    def __init__(self, keys: np.ndarray):
        self._order = np.argsort(keys[:, 0], kind="stable").astype(np.uint32)
        self._first, self._keys = keys[self._order, 0], keys

    def find(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of keys and rows of wanted ones, (M, 2), that are equal, pair by pair."""
        begin = np.searchsorted(self._first, wanted[:, 0])
        counts = np.searchsorted(self._first, wanted[:, 0], "right") - begin
        rows = np.repeat(np.arange(len(wanted)), counts)
        sorted_places = np.arange(counts.sum()) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
        places = self._order[sorted_places].astype(np.int64)
        equal = self._keys[places, 1] == wanted[rows, 1]
        return places[equal], rows[equal]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The values of a column of binaries of one length as uint64, in a row."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    width = column.type.byte_width
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint64, len(chunk) * width // 8, offset=chunk.offset * width)
        for chunk in chunks
    ]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _read_files(store: Store, names: Sequence[str]) -> Iterator[tuple[str, pa.Table | None]]:
    """Read files of hashes; None for one that was removed."""

    def read(name: str) -> pa.Table | None:
        try:
            return read_parquet(store.place(name), SCHEMA.names).cast(SCHEMA)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise UserError(
                "duplicates.unreadable_cache",
                f"{store.place(name)} cannot be read ({error}); delete it to hash its files again",
            ) from None

    return zip(names, read_many(read, names, remote=store.remote), strict=True)
