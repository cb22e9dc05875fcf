"""`--verify`: every file of a manifest decoded, shard by shard, by any number of workers; then one table."""

import json
import logging
import re
import uuid
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from vidsemi.config import Runtime
from vidsemi.data.file_worker import FileWorker
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import table_writer
from vidsemi.data.manifest_source import ManifestSource
from vidsemi.data.verify import SCHEMA, FileInfo, VerifySummary, describe
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.parquet import open_parquet, parquet_bytes, read_parquet
from vidsemi.io.store import LocalStore, Store, shard_name
from vidsemi.runtime.leases import Leases, patience
from vidsemi.runtime.ray_engine import run_on_ray
from vidsemi.runtime.shard_worker import CRASHES, Files, ShardJob

logger = logging.getLogger("vidsemi")

PLAN = "plan.json"
ROWS_AT_ONCE = 1000  # of a shard, and written to the table


class VerifyWorker(FileWorker[FileInfo]):
    """Verifies shards of a manifest until all are done, or until another worker has made the table of them."""

    def list_done(self) -> set[int]:
        """List the shards that are done: all, once the job is over."""
        return super().list_done() if self._is_running() else set(range(len(self.job.shards)))

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return super().is_done(number) or not self._is_running()

    def _is_running(self) -> bool:
        return _running_job(self.store) == self.job.folders[0]

    def files(self, number: int, found: dict[int, FileInfo | DecodeError]) -> Files:
        """Return the file of a shard."""
        table = []
        for example_id in self.job.shards[number]:
            row, result = self.manifest.row(example_id), found.get(example_id)
            if isinstance(result, FileInfo):
                fields = asdict(result)
            else:
                fields = {"error": CRASHES if result is None else result.reason}
            table.append({"example_id": example_id, "path": row.path, "member": row.member, **fields})
        return {f"{self.job.folders[0]}/{shard_name(number)}": parquet_bytes(pa.Table.from_pylist(table, SCHEMA))}


def verify_shards(runtime: Runtime, *, parts: Path, folder: str, manifest: Manifest | ManifestSource) -> None:
    """Do what one worker does: verify free shards until none is left.

    Args:
        runtime: decoding processes, seconds per file.
        parts: the folder of all jobs.
        folder: that of this job in it.
        manifest: the files.
    """
    manifest = manifest.read() if isinstance(manifest, ManifestSource) else manifest
    workers, seconds = runtime.workers or 0, runtime.seconds_per_file
    store, shards = LocalStore(parts), _shards(manifest)
    with Leases(store, patience(seconds), len(shards), f"{folder}/leases") as leases:
        job = ShardJob(store, shards, "verify", "file", [folder])
        worker = VerifyWorker(job, leases, manifest, describe, workers=workers, seconds=seconds)
        if worker.done:
            logger.info("resuming: %d of %d shards were verified before", len(worker.done), len(shards))
        worker.work()


def _shards(manifest: Manifest) -> list[range]:
    return [range(n, min(n + ROWS_AT_ONCE, len(manifest))) for n in range(0, len(manifest), ROWS_AT_ONCE)]


def verify_files(
    manifest: Manifest, output: Path, *, workers: int, seconds: float, engine: Runtime | None = None
) -> VerifySummary:
    """Decode every file of a manifest, within a limit of seconds each, and write a table of the results.

    Several workers share the work, and a killed one resumes, by the shards in the folder `output` with the suffix
    .parts; it is removed once the table is written.

    Args:
        manifest: the files.
        output: .csv or .parquet: one row per example, with `error` if it cannot be read.
        workers: processes that decode.
        seconds: limit per file.
        engine: of workers on Ray; None for this process.

    Raises:
        UserError: the folder has shards of another manifest.
    """
    store = LocalStore(output.with_name(f"{output.name}.parts"))
    parts = store.place("")
    while True:
        folder = _join(store, manifest)
        job = partial(verify_shards, parts=parts, folder=folder)
        try:
            if engine is not None:
                job = partial(job, manifest=ManifestSource.of(manifest))
                run_on_ray(job, engine, place=parts, title="verify", unit="file", gpus=False)
            else:
                job(Runtime(workers=workers, seconds_per_file=seconds), manifest=manifest)
        except FileNotFoundError:  # if the job is over: another worker removed its folder while this one wrote there
            if _running_job(store) == folder:
                raise
        summary = VerifySummary()
        try:
            with table_writer(output, SCHEMA) as writer:
                for number in range(len(_shards(manifest))):
                    table = read_parquet(store.place(f"{folder}/{shard_name(number)}"))
                    writer.write_table(table)
                    summary.add_table(manifest, table)
        except FileNotFoundError:
            if _running_job(store) == folder:
                continue
            summary = _summary_of(output, manifest)  # another worker has written it, and removed the shards
        _clean_up(store, folder)
        return summary


def _join(store: Store, manifest: Manifest) -> str:
    """Join the job of a store, or start one; returns the folder of its shards.

    Each job has its own, or a worker killed while it removed shards would leave some that look like those of the next.
    """
    plan = {"manifest": manifest.fingerprint, "shard_size": ROWS_AT_ONCE}
    while True:
        store.create(PLAN, json.dumps({"id": uuid.uuid4().hex, **plan}).encode())  # unless there is one
        if (found := store.read(PLAN)) is None:
            continue  # it was over just now
        job_id = _id_in(found[0])
        if found[0] != json.dumps({"id": job_id, **plan}).encode() or job_id is None:
            raise UserError(
                "verify.other_manifest",
                f"{store} has results for another manifest, of a --verify that was ended; delete it",
            )
        return job_id


def _running_job(store: Store) -> str | None:
    found = store.read(PLAN)
    return None if found is None else _id_in(found[0])


def _id_in(plan: bytes) -> str | None:
    match = re.match(rb'\{"id": "([0-9a-f]{32})"', plan)
    return match[1].decode() if match else None


def _clean_up(store: LocalStore, folder: str) -> None:
    """End a job, and remove what workers left that were killed while they did so."""
    if _running_job(store) == folder:
        store.remove(PLAN)
    found = store.names()
    running = _running_job(store)  # after that look, so that it is not among the others
    for name in found:
        if name not in (PLAN, running):
            store.remove_folder(name)
    store.clean_up("")
    with suppress(OSError):  # unless another job is running
        store.place("").rmdir()


def _summary_of(output: Path, manifest: Manifest) -> VerifySummary:
    summary = VerifySummary()
    if output.suffix == ".csv":
        options = csv.ConvertOptions(column_types=dict(zip(SCHEMA.names, SCHEMA.types, strict=True)))
        with csv.open_csv(output, convert_options=options) as batches:
            for batch in batches:
                summary.add_table(manifest, pa.Table.from_batches([batch]))
        return summary
    with open_parquet(output, in_batches=True) as parquet:
        for batch in parquet.iter_batches(ROWS_AT_ONCE):
            summary.add_table(manifest, pa.Table.from_batches([batch]))
    return summary
