"""Hash the files of a manifest, each once: hashes are cached in Parquet shards that later calls read."""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.dedup.frame_hashes import CONTENT_BYTES, METHOD, FileHashes, hash_file
from vidsemi.data.dedup.hash_store import RECORD, HashStore
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.reachable import read_reachable
from vidsemi.data.read import is_image
from vidsemi.io.download import is_address
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.files import remove_temporary
from vidsemi.io.parquet import read_parquet, write_parquet
from vidsemi.io.progress import progress_bar

SECONDS_PER_SHARD = 60.0  # a killed command loses at most that
TEMPORARY_SECONDS = 3600.0  # younger temporary files may belong to another command with the same folder
KEY_BYTES = 16
BLOCK = 1 << 22  # examples whose hashes are gathered in memory at once: 0.5 GB
SCHEMA = pa.schema(
    [("key", pa.binary(KEY_BYTES)), ("content", pa.binary(CONTENT_BYTES)), ("frames", pa.list_(pa.uint64()))]
)


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


def hash_manifest(manifest: Manifest, folder: Path, *, workers: int, seconds: float) -> HashedManifest:
    """Hash all examples of a manifest; if no file can be read, raise a UserError.

    Hashes of unchanged files (path, member, trim, size, time) are read from the shards in the folder, which datasets
    can share; others are computed and added. Files that do not decode are tried again by every call. Memory does not
    grow with the manifest: it is read four million examples at a time, and for each of these blocks all shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary(folder, TEMPORARY_SECONDS)
    hashes = HashStore(folder)
    unread: list[tuple[int, str]] = []
    for begin in range(0, len(manifest), BLOCK):
        examples = range(begin, min(begin + BLOCK, len(manifest)))
        records, failures = _hash_block(manifest, examples, folder, workers, seconds)
        hashes.append(records)
        unread += [(example, failure.error or "") for example, failure in failures.items()]
    if len(unread) == len(manifest):
        path, why = manifest.row(0).path, unread[0][1]
        raise UserError(
            "duplicates.no_readable_files",
            f"none of the {len(manifest)} files of {manifest.file} can be read, such as {path}: {why}",
        )
    return HashedManifest(manifest, hashes, unread)


def _hash_block(
    manifest: Manifest, examples: range, folder: Path, workers: int, seconds: float
) -> tuple[np.ndarray, dict[int, FileHashes]]:
    """The records of some examples, and what is known of those that do not decode."""
    records = np.zeros(len(examples), RECORD)
    keys = _keys(manifest, examples, records["is_image"])
    _fill_trims(manifest, examples, records)
    by_key = _ExamplesByKey(keys)
    known = np.zeros(len(examples), bool)
    for table in _read_shards(folder, ["key"]):
        known[by_key.find(table["key"])[0]] = True
    failures = _hash_rest(manifest, examples, keys, np.flatnonzero(~known), folder, workers, seconds)
    known[:] = False
    for table in _read_shards(folder, SCHEMA.names):
        places, rows = by_key.find(table["key"])
        new = ~known[places]  # the first of several shards that have a key counts
        places, rows = places[new], rows[new]
        known[places] = True
        records["content"][places] = _numbers(table["content"]).reshape(-1, 2)[rows]
        lists = table["frames"].take(pa.array(rows))
        counts = pc.list_value_length(lists).to_numpy()
        columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        records["frames"][np.repeat(places, counts), columns] = pc.list_flatten(lists).to_numpy()
    for example, failure in failures.items():
        if failure.content:
            records["content"][example - examples.start] = np.frombuffer(failure.content, np.uint64)
    return records, failures


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
        if name in manifest.table.column_names:
            column = manifest.table.column(name).slice(examples.start, len(examples))
            seconds = column.to_numpy().astype(np.float64)
            trimmed = ~np.isnan(seconds) & ~records["is_image"]
            records["trim"][trimmed, place] = seconds[trimmed]


def _keys(manifest: Manifest, examples: range, images: np.ndarray) -> np.ndarray:
    """The keys of some examples, (N, 2) uint64; fills in which of them are images."""
    _state.cache_clear()
    keys = bytearray()
    for place, example in enumerate(examples):
        row = manifest.row(example)
        images[place] = is_image(row)
        keys += _key(row)
    return np.frombuffer(keys, np.uint64).reshape(-1, 2)


def _key(row: Row) -> bytes:  # a hash of everything that the hashes of a row depend on
    path = row.path if is_address(row.path) else os.path.abspath(row.path)
    what = [METHOD, path, row.member, row.offset, row.size, row.start, row.end, *_state(path)]
    what += [row.frames_per_second] if row.is_frame_folder else []
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=KEY_BYTES).digest()


@lru_cache(maxsize=1000)  # a tar has thousands of members
def _state(path: str) -> tuple[int, int]:
    """Size and modification time of a file; content at an address is assumed not to change."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _read_shards(folder: Path, columns: list[str]) -> Iterator[pa.Table]:
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    for file in sorted(folder.glob("part-*.parquet")):
        try:
            yield read_parquet(file, columns).cast(schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(
                "duplicates.unreadable_cache", f"{file} cannot be read ({error}); delete it to hash its files again"
            ) from None


def _hash_rest(
    manifest: Manifest,
    examples: range,
    keys: np.ndarray,
    todo: np.ndarray,
    folder: Path,
    workers: int,
    seconds: float,
) -> dict[int, FileHashes]:
    """Hash the examples at the places `todo`, write new shards; return what is known of those that do not decode."""
    failures: dict[int, FileHashes] = {}
    batch: list[dict[str, Any]] = []
    rows = (manifest.row(examples[place]) for place in todo.tolist())
    started = time.monotonic()
    with (
        closing(read_reachable(hash_file, rows, manifest, workers=workers, seconds=seconds)) as results,
        progress_bar(len(keys), "file", f"hash {manifest.file.name}", done=len(keys) - len(todo)) as bar,
    ):
        try:
            for place, hashed in zip(todo.tolist(), results, strict=True):
                if isinstance(hashed, DecodeError):
                    failures[examples[place]] = FileHashes(b"", (), hashed.reason)
                elif hashed.error is not None:
                    failures[examples[place]] = hashed
                else:
                    batch.append({"key": keys[place].tobytes(), "content": hashed.content, "frames": hashed.frames})
                bar.set_postfix_str(f"{len(failures)} cannot be read", refresh=False)
                bar.update()
                if time.monotonic() - started > SECONDS_PER_SHARD:
                    _write_shard(folder, batch)
                    batch, started = [], time.monotonic()
        finally:  # also if interrupted
            _write_shard(folder, batch)
    return failures


def _write_shard(folder: Path, batch: list[dict[str, Any]]) -> None:
    if batch:
        write_parquet(folder / f"part-{uuid.uuid4().hex}.parquet", pa.Table.from_pylist(batch, SCHEMA))
