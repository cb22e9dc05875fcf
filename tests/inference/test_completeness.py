"""The last check of a bucket of scores: shared by workers, and no weaker than one that reads everything."""

import random
import threading

import numpy as np
import pytest

from tests.helpers.s3_server import S3Server
from vidsemi.inference import completeness
from vidsemi.inference.completeness import Completeness
from vidsemi.inference.score_directory import ScoreDirectory
from vidsemi.io import store_patience
from vidsemi.io.object_store import ObjectStore, RemotePath
from vidsemi.io.store import shard_name
from vidsemi.selection.score_format import ScoresInfo

pytestmark = pytest.mark.cluster
SHARDS = [range(3 * number, 3 * number + 3) for number in range(30)]  # of each, the last example failed
FOLDER = RemotePath("s3://bucket", "s")


@pytest.fixture
def reads(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A bucket with scores; the list gets the shards that are read."""
    monkeypatch.setattr(store_patience, "LONGEST_DELAY", 0.01)
    monkeypatch.setattr(ObjectStore, "wait_seconds", 0.0)
    monkeypatch.setattr(completeness, "GROUP", 4)
    for number in range(len(SHARDS)):
        write(number)
    seen: list[str] = []

    def note(method: str, path: str) -> None:
        if method == "GET" and path.endswith(".parquet"):
            seen.append(path.removeprefix("/bucket/s/"))

    running.fault = note
    return seen


def directory() -> ScoreDirectory:
    names = {"manifest": "m", "weights": "w", "classes": ["a", "b"], "per_example": 1, "views": 1}
    return ScoreDirectory(ObjectStore(FOLDER), ScoresInfo(**names, shards=len(SHARDS)))


def write(number: int, scored: tuple[int, ...] = (0, 1), failed: tuple[int, ...] = (2,)) -> None:
    start, one = SHARDS[number].start, np.ones(1)
    scores = [(start + example, one.astype(int), one) for example in scored]
    failures = [(start + example, "x.mp4", "broken") for example in failed]
    for name, content in directory().files(number, scores, failures).items():
        ObjectStore(FOLDER).put(name, content)


def test_who_comes_later_reads_nothing(reads: list[str]):
    first, second = (Completeness(directory(), SHARDS) for _ in range(2))
    assert first.incomplete() == [] and first.num_failed == len(SHARDS)
    assert sorted(reads) == sorted(f"{folder}{shard_name(n)}" for folder in ("", "failures/") for n in range(30))
    reads.clear()
    assert second.incomplete() == [] and second.num_failed == len(SHARDS)
    assert reads == []
    write(9)  # equal bytes, as a worker writes that was taken for dead
    first.clean_up()
    assert second.incomplete() == [] and reads == []
    assert Completeness(directory(), SHARDS).incomplete() == [] and len(reads) == 60  # all marks were removed
    second.clean_up()
    assert ObjectStore(FOLDER).names("checked") == []


@pytest.mark.parametrize("scored", [(0,), (0, 1, 2), ()])
def test_a_shard_that_changes_is_noticed_by_all(reads: list[str], scored: tuple[int, ...]):
    first, second, third = (Completeness(directory(), SHARDS) for _ in range(3))
    assert first.incomplete() == []
    write(9, scored)
    reads.clear()
    assert second.incomplete() == [9]
    assert {int(name[-14:-8]) for name in reads} == {8, 9, 10, 11}
    assert third.incomplete() == [9] and first.incomplete() == [9]
    assert not first.is_complete(9)
    write(9)
    assert all(worker.incomplete() == [] and worker.num_failed == 30 for worker in (first, second, third))
    first.clean_up()


def test_a_shard_that_changes_between_listing_and_reading_gets_no_mark(
    reads: list[str], monkeypatch: pytest.MonkeyPatch
):
    worker, versions = Completeness(directory(), SHARDS), ObjectStore.versions

    def list_and_change(store: ObjectStore, folder: str) -> dict[str, str]:
        listed = versions(store, folder)
        write(9, (0,), (1, 2))
        return listed

    monkeypatch.setattr(ObjectStore, "versions", list_and_change)
    assert worker.incomplete() == [9]
    assert worker.is_complete(9)  # so it is not scored again
    assert len(ObjectStore(FOLDER).names("checked")) == 7  # of eight groups
    worker.clean_up()


def test_many_workers_share_the_reading(reads: list[str], running: S3Server):
    """Though answers are lost, late or errors."""
    dice, note = random.Random(0), running.fault
    kinds = ["throttled", "failed", "cut", "lost", *[None] * 20]
    running.fault = lambda method, path: note(method, path) or dice.choice(kinds)
    workers = [Completeness(directory(), SHARDS) for _ in range(8)]
    found: list[tuple[list[int], int]] = []

    def check(worker: Completeness) -> None:
        found.append((worker.incomplete(), worker.num_failed))

    threads = [threading.Thread(target=check, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [([], 30)] * 8
    assert len(reads) < 8 * 60  # of each worker alone
    workers[0].clean_up()
