"""Hash the files of a manifest, each once: hashes are cached in Parquet shards that later calls read."""

import hashlib
import json
import os
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES, Hashes
from vidsemi.data.dedup.frame_hashes import CONTENT_BYTES, METHOD, FileHashes, hash_file
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
    hashes: Hashes
    unread: list[tuple[int, str]]

    @property
    def flat(self) -> int:
        """Number of examples that decode, but show too little for a perceptual hash."""
        needed = np.where(self.hashes.is_image, 1, MIN_MATCHING_FRAMES)
        return int(np.sum(np.count_nonzero(self.hashes.frames, axis=1) < needed)) - len(self.unread)


def hash_manifest(manifest: Manifest, folder: Path, *, workers: int, seconds: float) -> HashedManifest:
    """Hash all examples of a manifest; if no file can be read, raise a UserError.

    Hashes of unchanged files (path, member, trim, size, time) are read from the shards in the folder, which datasets
    can share; others are computed and added. Files that do not decode are tried again by every call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary(folder, TEMPORARY_SECONDS)
    keys, images = _keys(manifest)
    known = pc.is_in(keys, value_set=_read_shards(folder, ["key"])["key"]).to_numpy(zero_copy_only=False)
    failures = _hash_rest(manifest, keys, np.flatnonzero(~known), folder, workers, seconds)
    unread = [(example, failure.error or "") for example, failure in failures.items()]
    if len(unread) == len(manifest):
        path, why = manifest.row(0).path, unread[0][1]
        raise UserError(
            "duplicates.no_readable_files",
            f"none of the {len(manifest)} files of {manifest.file} can be read, such as {path}: {why}",
        )
    content = np.zeros((len(manifest), 2), np.uint64)
    frames = np.zeros((len(manifest), FRAMES), np.uint64)
    cached = _read_shards(folder, SCHEMA.names)
    place = pc.index_in(keys, value_set=cached["key"])
    read = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    hits = cached.take(place.drop_null()).combine_chunks()
    if len(read):
        content[read] = np.frombuffer(hits["content"].chunk(0).buffers()[1], np.uint64, 2 * len(read)).reshape(-1, 2)
        counts = pc.list_value_length(hits["frames"]).to_numpy()
        columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        frames[np.repeat(read, counts), columns] = pc.list_flatten(hits["frames"]).to_numpy()
    for example, failure in failures.items():
        if failure.content:
            content[example] = np.frombuffer(failure.content, np.uint64)
    return HashedManifest(manifest, Hashes(content, _trims(manifest, images), frames, images), unread)


def _trims(manifest: Manifest, images: np.ndarray) -> np.ndarray:
    """(N, 2) float64, infinite if not trimmed, as images always are."""
    trims = np.tile([-np.inf, np.inf], (len(manifest), 1))
    for place, name in enumerate(("start", "end")):
        if name in manifest.table.column_names:
            seconds = manifest.table.column(name).to_numpy().astype(np.float64)
            trims[:, place] = np.where(np.isnan(seconds) | images, trims[:, place], seconds)
    return trims


def _keys(manifest: Manifest) -> tuple[pa.Array, np.ndarray]:
    _state.cache_clear()
    images = np.zeros(len(manifest), bool)
    keys = bytearray()
    for example in range(len(manifest)):
        row = manifest.row(example)
        images[example] = is_image(row)
        keys += _key(row)
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(manifest), [None, pa.py_buffer(bytes(keys))]), images


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


def _read_shards(folder: Path, columns: list[str]) -> pa.Table:
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    tables = [schema.empty_table()]
    for file in sorted(folder.glob("part-*.parquet")):
        try:
            tables.append(read_parquet(file, columns).cast(schema))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(
                "duplicates.unreadable_cache", f"{file} cannot be read ({error}); delete it to hash its files again"
            ) from None
    return pa.concat_tables(tables)


def _hash_rest(
    manifest: Manifest, keys: pa.Array, todo: np.ndarray, folder: Path, workers: int, seconds: float
) -> dict[int, FileHashes]:
    """Hash the examples in `todo` and write new shards; return what is known of those that do not decode."""
    failures: dict[int, FileHashes] = {}
    batch: list[dict[str, Any]] = []
    rows = map(manifest.row, todo.tolist())
    started = time.monotonic()
    with (
        closing(read_reachable(hash_file, rows, manifest, workers=workers, seconds=seconds)) as results,
        progress_bar(len(keys), "file", f"hash {manifest.file.name}", done=len(keys) - len(todo)) as bar,
    ):
        try:
            for example, hashed in zip(todo.tolist(), results, strict=True):
                if isinstance(hashed, DecodeError):
                    failures[example] = FileHashes(b"", (), hashed.reason)
                elif hashed.error is not None:
                    failures[example] = hashed
                else:
                    batch.append({"key": keys[example], "content": hashed.content, "frames": hashed.frames})
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
