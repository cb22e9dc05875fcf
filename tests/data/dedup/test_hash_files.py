"""The folder of hashes: what several workers and later calls find in it, on a disk and in a bucket."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.data.dedup.test_exclude import dataset, exclude, picture  # noqa: F401
from tests.helpers.builders import paths_of
from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server
from vidsemi.data.dedup import hash_files, hash_job
from vidsemi.data.dedup.frame_hashes import FileHashes, hash_file
from vidsemi.data.dedup.hash_files import HashedManifest, hash_manifest
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.io import store_patience
from vidsemi.io.parquet import read_parquet
from vidsemi.io.store import Place, parse_place


def hashed(manifest: Path, folder: Place) -> HashedManifest:
    return hash_manifest(load_manifest(manifest), folder, workers=0, seconds=60)


def known(found: HashedManifest) -> tuple[list[list], list[tuple[int, str]]]:
    hashes = found.hashes.take(slice(None))
    return [
        np.asarray(getattr(hashes, name)).tolist() for name in ("content", "trim", "frames", "is_image")
    ], found.unread


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_job, "SHARD_SIZE", 3)


def count_reads(monkeypatch: pytest.MonkeyPatch, stop_at: int = 1000) -> list[str]:
    read: list[str] = []

    def counted(row: Row) -> FileHashes:
        read.append(Path(row.path).name)
        if len(read) == stop_at:
            raise KeyboardInterrupt
        return hash_file(row)

    monkeypatch.setattr(hash_job, "hash_file", counted)
    return read


def test_a_file_that_changes_between_kill_and_resume_is_hashed_again(dataset: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """Though its shard was written, and even if it did not decode then."""
    read = count_reads(monkeypatch, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        hashed(dataset / "all.csv", dataset / "hashes")
    for name in ("new.png", "again.jpg"):
        picture(dataset / "u" / name, 7)
    resumed = hashed(dataset / "all.csv", dataset / "hashes")
    assert read[8:] == ["broken.jpg", "black.png", "new.png", "again.jpg"]
    assert known(resumed) == known(hashed(dataset / "all.csv", dataset / "others"))


def test_the_folder_does_not_grow_with_calls(dataset: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """Each reads again what did not decode, and leaves its shard until the next."""
    first = known(hashed(dataset / "all.csv", dataset / "hashes"))
    files = {len(list((dataset / "hashes").iterdir()))}
    read = count_reads(monkeypatch)
    for _ in range(3):
        assert known(hashed(dataset / "all.csv", dataset / "hashes")) == first
        files.add(len(list((dataset / "hashes").iterdir())))
    assert read == ["broken.jpg"] * 3
    assert files == {4, 5}  # three shards and the folder of leases; and the shard of the failure


def test_shards_that_are_removed_meanwhile_are_hashed_again(dataset: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """As when another worker has finished the job and forgets failures before this one has read them."""
    whole = known(hashed(dataset / "all.csv", dataset / "hashes"))
    run, runs = hash_job.run_job, []

    def run_and_lose(*arguments: object, **options: object) -> None:
        run(*arguments, **options)
        runs.append(1)
        if len(runs) == 1:
            for shard in (dataset / "others").glob("part-*-000002.parquet"):
                shard.unlink()

    monkeypatch.setattr("vidsemi.data.dedup.hash_files.run_job", run_and_lose)
    read = count_reads(monkeypatch)
    assert known(hashed(dataset / "all.csv", dataset / "others")) == whole
    assert len(runs) == 2 and read[8:] == ["broken.jpg", "black.png"]


@pytest.mark.parametrize("what", ["job", "shard"])
def test_damaged_files_are_named(dataset: Path, what: str, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    count_reads(monkeypatch, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        hashed(dataset / "all.csv", dataset / "hashes")
    file = next((dataset / "hashes").glob("job-*" if what == "job" else "part-*"))
    file.write_bytes(file.read_bytes()[:-9])
    with refused("duplicates.invalid_job" if what == "job" else "duplicates.unreadable_cache", str(file)):
        hashed(dataset / "all.csv", dataset / "hashes")


@pytest.mark.cluster
def test_a_bucket_of_hashes_is_like_a_folder(
    dataset: Path,  # noqa: F811
    running: S3Server,
    monkeypatch: pytest.MonkeyPatch,
):
    """Though its answers are lost, late or errors, and a worker is interrupted."""
    monkeypatch.setattr(store_patience, "LONGEST_DELAY", 0.01)
    words = ["--exclude-duplicates-of", str(dataset / "test.csv"), "--exclude-duplicates", "--workers", "0"]
    on_disk = exclude(dataset, *words)
    lists = {file.name: file.read_bytes() for file in (dataset / "out").glob("U.*")}
    dice = random.Random(0)
    kinds = ["throttled", "failed", "cut", "lost", "slow", *[None] * 20]
    running.fault = lambda method, path: dice.choice(kinds)
    read = count_reads(monkeypatch, stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        hashed(dataset / "all.csv", parse_place("s3://bucket/h"))
    assert exclude(dataset, *words, "--hash-folder", "s3://bucket/h") == on_disk
    assert {file.name: file.read_bytes() for file in (dataset / "out").glob("U.*")} == lists
    assert len(read) < 5 + 8 + 2  # U.all.csv is another manifest with the same files


def test_blocks_of_a_manifest(dataset: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """They read their own shards and those of other manifests, and give what one block gives."""
    whole = known(hashed(dataset / "all.csv", dataset / "hashes"))
    monkeypatch.setattr(hash_files, "BLOCK", 3)
    read = count_reads(monkeypatch)
    assert known(hashed(dataset / "all.csv", dataset / "others")) == whole
    opened: list[str] = []
    monkeypatch.setattr(
        hash_files, "read_parquet", lambda file, columns: opened.append(file.name) or read_parquet(file, columns)
    )
    assert known(hashed(dataset / "all.csv", dataset / "others")) == whole
    assert len(read) == 8 + 1 and len(opened) == 3 + 1  # of each block one, and a new one of the failure
    (dataset / "some.csv").write_text("path\n" + "\n".join(paths_of(dataset / "all.csv")[:6]) + "\n")
    hashed(dataset / "some.csv", dataset / "others")
    assert len(read) == 8 + 1
