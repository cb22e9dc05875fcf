"""Hashing by any number of workers: the examples whose hashes a folder lacks, shard by shard.

`job-MANIFEST-FIRST.json` says which of the examples of a manifest from FIRST on are to be hashed: the first worker
writes it, others join. Shards, `part-MANIFEST-FIRST-ID-NUMBER.parquet`, stay as a cache that later jobs read. When all
are written, the job is over and its file is removed. Files that do not decode are in no cache, so the next call starts
a job that reads them again.
"""

import base64
import hashlib
import json
import re
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.config import Runtime
from vidsemi.data.dedup.frame_hashes import CONTENT_BYTES, METHOD, FileHashes, hash_file
from vidsemi.data.file_worker import FileWorker
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_source import ManifestSource
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.parquet import parquet_bytes
from vidsemi.io.store import Place, Store, open_store
from vidsemi.runtime.leases import Leases, patience
from vidsemi.runtime.ray_engine import run_on_ray
from vidsemi.runtime.shard_worker import CRASHES, Files, ShardJob

SHARD_SIZE = 1000  # examples; what a kill loses at most
KEY_BYTES = 16
SHARD = re.compile(
    r"part-(?P<manifest>[0-9a-f]{32})-(?P<first>\d{1,12})-(?P<id>[0-9a-f]{32})-(?P<number>\d{6,12})\.parquet"
)
JOB = re.compile(r"job-[0-9a-f]{32}-\d{1,12}\.json")
SCHEMA = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("content", pa.binary(CONTENT_BYTES)),  # zeros if the bytes cannot be read
        ("frames", pa.list_(pa.uint64())),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class HashJob:
    """Examples to hash."""

    store: Store
    name: str  # MANIFEST-FIRST
    id: str
    examples: np.ndarray  # ids, ascending

    @property
    def shards(self) -> list[range]:
        """The places in `examples` of each shard."""
        count = len(self.examples)
        return [range(n, min(n + SHARD_SIZE, count)) for n in range(0, count, SHARD_SIZE)]

    @property
    def leases(self) -> str:
        """The folder of the leases."""
        return f"leases/{self.id}"

    def shard_name(self, number: int) -> str:
        """The name of the file of a shard."""
        return f"part-{self.name}-{self.id}-{number:06d}.parquet"


class HashWorker(FileWorker[FileHashes]):
    """Hashes shards of a job until all are done; `keys` are those of its examples, (N, 2) uint64."""

    def __init__(self, hashing: HashJob, keys: np.ndarray, *arguments: Any, **options: Any):
        self._hashing, self._keys = hashing, keys
        super().__init__(*arguments, **options)

    def list_done(self) -> set[int]:
        """List the shards that are done."""
        found = (SHARD.fullmatch(name) for name in self.store.names())
        return {int(match["number"]) for match in found if match and match["id"] == self._hashing.id}

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return self.store.exists(self._hashing.shard_name(number))

    def examples(self, number: int) -> Sequence[int]:
        """Return the examples of a shard."""
        shard = self.job.shards[number]
        return self._hashing.examples[shard.start : shard.stop].tolist()  # type: ignore[no-any-return]

    def is_unreadable(self, result: FileHashes | DecodeError) -> bool:
        """Return whether a result says that a file cannot be read."""
        return isinstance(result, DecodeError) or result.error is not None

    def files(self, number: int, found: dict[int, FileHashes | DecodeError]) -> Files:
        """Return the file of a shard."""
        rows = []
        for place, example in zip(self.job.shards[number], self.examples(number), strict=True):
            result = found.get(example)
            if not isinstance(result, FileHashes):
                result = FileHashes(bytes(CONTENT_BYTES), (), CRASHES if result is None else result.reason)
            rows.append({"key": self._keys[place].tobytes(), **vars(result)})
        return {self._hashing.shard_name(number): parquet_bytes(pa.Table.from_pylist(rows, SCHEMA))}


def manifest_id(manifest: Manifest) -> str:
    """What the files of a manifest's jobs are named after: its rows, and where its paths start."""
    words = json.dumps([METHOD, manifest.fingerprint, str(manifest.root.resolve())])
    return hashlib.blake2b(words.encode(), digest_size=16).hexdigest()


def join_job(store: Store, manifest: Manifest, block: range, unknown: Callable[[], np.ndarray]) -> HashJob | None:
    """Join the job of some examples of a manifest, or start one; None if there is nothing to hash.

    Args:
        store: the folder of the hashes.
        manifest: the manifest.
        block: the examples.
        unknown: returns a mask of the block, those to hash; called if no job has begun.

    Raises:
        UserError: the file of the job is damaged.
    """
    name = f"{manifest_id(manifest)}-{block.start}"
    file = _file(name)
    while (found := store.read(file)) is None:
        chosen = unknown()
        if not chosen.any():
            return None
        packed = base64.b64encode(zlib.compress(np.packbits(chosen).tobytes())).decode()
        # or another worker is faster, and has perhaps finished by now
        store.create(file, json.dumps({"id": uuid.uuid4().hex, "examples": packed}).encode())
    try:
        job = json.loads(found[0])
        bits = zlib.decompressobj().decompress(base64.b64decode(job["examples"]), len(block))
        chosen = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(block)).astype(bool)
        (job_id,) = re.findall("^[0-9a-f]{32}$", job["id"])
    except (ValueError, TypeError, KeyError, zlib.error):
        raise UserError("duplicates.invalid_job", f"{store.place(file)} is damaged; delete it") from None
    return HashJob(store, name, job_id, block.start + np.flatnonzero(chosen))


def run_job(job: HashJob, manifest: Manifest, keys: np.ndarray, runtime: Runtime) -> None:
    """Hash until all shards of a job are written, by whomever; see `HashWorker` and `FileWorker`."""
    if runtime.engine == "ray":
        folder, title = job.store.place(""), f"hash {manifest.file.name}"
        work = partial(
            hash_shards,
            folder=folder,
            name=job.name,
            id=job.id,
            examples=job.examples,
            manifest=ManifestSource.of(manifest),
        )
        run_on_ray(partial(work, keys=keys), runtime, place=folder, title=title, unit="file", gpus=False)
    else:
        _hash_shards(runtime, job, manifest, keys)
    if job.id in _ids(job.store, [_file(job.name)]):
        job.store.remove(_file(job.name))
    job.store.remove_folder(job.leases)


def hash_shards(
    runtime: Runtime,
    *,
    folder: Place,
    name: str,
    id: str,
    examples: np.ndarray,
    manifest: ManifestSource,
    keys: np.ndarray,
) -> None:
    """Do what one worker on another machine does: hash free shards until none is left."""
    _hash_shards(runtime, HashJob(open_store(folder), name, id, examples), manifest.read(), keys)


def _hash_shards(runtime: Runtime, job: HashJob, manifest: Manifest, keys: np.ndarray) -> None:
    workers, seconds = runtime.workers or 0, runtime.seconds_per_file
    shards = ShardJob(job.store, job.shards, f"hash {manifest.file.name}", "file")
    with Leases(job.store, patience(seconds), len(shards.shards), job.leases) as held:
        HashWorker(job, keys, shards, held, manifest, hash_file, workers=workers, seconds=seconds).work()


def unfinished_jobs(store: Store) -> set[str]:
    """The ids of the jobs whose shards some worker may yet read."""
    return _ids(store, [name for name in store.names() if JOB.fullmatch(name)])


def _file(name: str) -> str:
    return f"job-{name}.json"


def _ids(store: Store, files: Sequence[str]) -> set[str]:
    contents = [found[0] for found in map(store.read, files) if found is not None]
    return {match[1].decode() for content in contents if (match := re.search(rb'"id": "([0-9a-f]{32})"', content))}
