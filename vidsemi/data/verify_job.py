"""`--verify`: every file of a manifest decoded, shard by shard, by any number of workers; then one table."""

import json
import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import table_writer
from vidsemi.data.reachable import read_reachable
from vidsemi.data.shards import read_carefully
from vidsemi.data.verify import SCHEMA, FileInfo, VerifySummary, describe
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.parquet import parquet_bytes, read_parquet
from vidsemi.io.store import LocalStore, shard_name
from vidsemi.runtime.leases import Lease, Leases, patience
from vidsemi.runtime.shard_worker import CRASHES, Computed, Files, ShardJob, ShardWorker, by_shard

logger = logging.getLogger("vidsemi")

PLAN = "plan.json"
ROWS_AT_ONCE = 1000  # of a shard, and written to the table


class VerifyWorker(ShardWorker):
    """Verifies shards of a manifest until all are done, or until another worker has made the table of them."""

    def __init__(self, job: ShardJob, leases: Leases, manifest: Manifest, workers: int, seconds: float):
        super().__init__(job, leases)
        self._manifest, self._workers, self._seconds = manifest, workers, seconds

    def list_done(self) -> set[int]:
        """List the shards that are done: all, once another worker has removed them."""
        return super().list_done() if self.store.exists(PLAN) else set(range(len(self.job.shards)))

    def is_done(self, number: int) -> bool:
        """Return whether one shard is done."""
        return super().is_done(number) or not self.store.exists(PLAN)

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Decode the files of shards."""
        options: dict[str, Any] = {"workers": self._workers, "seconds": self._seconds, "dataset": self._manifest}
        if careful is not None:
            options["note"] = partial(self.leases.note, careful)

        def described(shards: Iterable[Sequence[int]]) -> Generator[FileInfo | DecodeError, None, None]:
            rows = (self._manifest.row(example_id) for shard in shards for example_id in shard)
            read = read_reachable if careful is None else read_carefully
            with closing(read(describe, rows, **options)) as results:
                for result in results:
                    self.finished_one(readable=not isinstance(result, DecodeError))
                    yield result

        def examples(lease: Lease) -> list[int]:
            return [example for example in self.job.shards[lease.number] if example not in lease.crashing]

        for lease, results in by_shard(leases, examples, described):
            found: dict[int, FileInfo | DecodeError] = dict(zip(examples(lease), results, strict=True))
            yield lease, verified_files(lease.number, self.job.shards[lease.number], self._manifest, found)


def verified_files(number: int, shard: range, manifest: Manifest, found: dict[int, FileInfo | DecodeError]) -> Files:
    """Return the file of a shard; examples without a result crash workers."""
    table = []
    for example_id in shard:
        row, result = manifest.row(example_id), found.get(example_id)
        if isinstance(result, FileInfo):
            fields = asdict(result)
        else:
            fields = {"error": CRASHES if result is None else result.reason}
        table.append({"example_id": example_id, "path": row.path, "member": row.member, **fields})
    return {shard_name(number): parquet_bytes(pa.Table.from_pylist(table, SCHEMA))}


def verify_files(manifest: Manifest, output: Path, *, workers: int, seconds: float) -> VerifySummary:
    """Decode every file of a manifest, within a limit of seconds each, and write a table of the results.

    Several workers share the work, and a killed one resumes, by the shards in the folder `output` with the suffix
    .parts; it is removed once the table is written.

    Args:
        manifest: the files.
        output: .csv or .parquet: one row per example, with `error` if it cannot be read.
        workers: processes that decode.
        seconds: limit per file.

    Raises:
        UserError: the folder has shards of another manifest.
    """
    store = LocalStore(output.with_name(f"{output.name}.parts"))
    shards = [range(n, min(n + ROWS_AT_ONCE, len(manifest))) for n in range(0, len(manifest), ROWS_AT_ONCE)]
    plan = json.dumps({"manifest": manifest.fingerprint, "shard_size": ROWS_AT_ONCE}).encode()
    if store.create(PLAN, plan) is None and (found := store.read(PLAN)) is not None and found[0] != plan:
        raise UserError(
            "verify.other_manifest",
            f"{store} has results for another manifest, of a --verify that was ended; delete it",
        )
    with Leases(store, patience(seconds), len(shards)) as leases:
        worker = VerifyWorker(ShardJob(store, shards, "verify", "file"), leases, manifest, workers, seconds)
        if worker.done:
            logger.info("resuming: %d of %d shards were verified before", len(worker.done), len(shards))
        worker.work()
    summary = VerifySummary()
    try:
        with table_writer(output, SCHEMA) as writer:
            for number in range(len(shards)):
                table = read_parquet(store.place(shard_name(number)))
                writer.write_table(table)
                summary.add_table(manifest, table)
    except FileNotFoundError:
        if store.exists(PLAN):
            raise
        return _summary_of(output, manifest)  # another worker has written it, and removed the shards
    store.remove(PLAN)
    store.remove_folder("")
    return summary


def _summary_of(output: Path, manifest: Manifest) -> VerifySummary:
    summary = VerifySummary()
    if output.suffix == ".csv":
        options = csv.ConvertOptions(column_types=dict(zip(SCHEMA.names, SCHEMA.types, strict=True)))
        summary.add_table(manifest, csv.read_csv(output, convert_options=options))
    else:
        summary.add_table(manifest, read_parquet(output))
    return summary
