"""Scoring by several workers, workers that die, files that crash them, full disks: the same directory in the end."""

import errno
import json
import logging
import os
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.helpers import warm
from tests.helpers.builders import paths_of, shard_table
from tests.helpers.errors import refused
from vidsemi.config import Runtime
from vidsemi.data import reachable, views
from vidsemi.data.manifest import Manifest, Row, load_manifest
from vidsemi.inference.score import score_manifest
from vidsemi.io import files
from vidsemi.io.errors import UserError
from vidsemi.io.store import LocalStore
from vidsemi.models.weights_file import load_weights, save_weights
from vidsemi.runtime import leases
from vidsemi.runtime.leases import CAREFUL_FROM, MAX_DEATHS

SHARD = 4

pytestmark = pytest.mark.usefixtures("one_thread")  # whose rounding is that of `run_job`


def score(folder: Path, weights: Path, manifest: Path | Manifest, **changes: object) -> dict:
    options = {
        "views": 2,
        "per_example": 3,
        "shard_size": SHARD,
        "precision": "float32",
        "runtime": Runtime(device="cpu", workers=0),
        "title": "score",
    }
    manifest = load_manifest(manifest) if isinstance(manifest, Path) else manifest
    return score_manifest(folder, weights=weights, manifest=manifest, **{**options, **changes})


def run_job(folder: Path | str, weights: Path, manifest: Path, **job: object) -> dict:
    script = REPOSITORY / "tests" / "helpers" / "killed_jobs.py"
    paths = {"folder": str(folder), "weights": str(weights), "manifest": str(manifest)}
    words = json.dumps({"kind": "score", "workers": 1, "kills": 0, "seed": 0, "shard_size": SHARD, **paths, **job})
    done = warm.run(script, words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def content(folder: Path) -> dict[str, bytes]:
    """All that is to be the same, and a check that nothing else was left."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert not [name for name in files if "leases/" in name or name.endswith(".tmp")], sorted(files)
    return files


@pytest.fixture(scope="module")
def weights(untrained_weights: Path) -> Path:
    return untrained_weights


@pytest.fixture(scope="module")
def manifest(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 videos and three unreadable files."""
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "broken.mp4").write_bytes(b"no video")
    rows = [f"{shapes}/{path}" for path in paths_of(shapes / "unlabeled.csv")]
    for place in (0, 21, 40):
        rows.insert(place, str(folder / "broken.mp4"))
    (folder / "manifest.csv").write_text("\n".join(["path", *rows]) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, weights: Path, manifest: Path) -> Path:
    """The directory that one undisturbed worker leaves."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(folder, weights, manifest)
    assert len(content(folder)) == 1 + 2 * 14  # the plan, and the scores and failures of each shard
    examples = pq.read_table(sorted(folder.glob("part-*"))).column("example_id").to_pylist()
    failures = pq.read_table(folder / "failures").column("example_id").to_pylist()
    assert sorted([*examples[::3], *failures]) == list(range(55))
    assert sorted(failures) == [0, 21, 40]
    return folder


@pytest.fixture
def undisturbed(whole: Path) -> dict[str, bytes]:
    return content(whole)


@pytest.fixture
def scored(tmp_path: Path, whole: Path) -> Path:
    """A copy of `whole` for a test to change."""
    return Path(shutil.copytree(whole, tmp_path / "s"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_leave_what_one_leaves(
    tmp_path: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes], workers: int
):
    run_job(tmp_path / "s", weights, manifest, workers=workers)
    assert content(tmp_path / "s") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("fate", "workers"), [("moment", 3), ("touch", 1), ("touch", 2)])
def test_workers_that_are_killed_change_nothing(
    tmp_path: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes], fate: str, workers: int
):
    killed = run_job(tmp_path / "s", weights, manifest, workers=workers, kills=24, fate=fate, seed=workers)["killed"]
    assert killed >= 24
    assert content(tmp_path / "s") == undisturbed


@pytest.mark.slow
def test_a_file_that_crashes_its_workers_is_a_failure_in_the_end(
    tmp_path: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes]
):
    deadly = load_manifest(manifest).row(30).path
    kills = CAREFUL_FROM - 1 + MAX_DEATHS
    job = {"deadly": Path(deadly).name, "kills": kills, "workers": 1}
    assert run_job(tmp_path / "s", weights, manifest, **job) == {"killed": kills}
    failures = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    assert [row["example_id"] for row in failures] == [0, 21, 30, 40]
    assert failures[2] == {"example_id": 30, "path": deadly, "error": "crashes the worker repeatedly"}
    same = [name for name, data in content(tmp_path / "s").items() if undisturbed[name] == data]
    assert len(same) == len(undisturbed) - 2  # all but its own shard's two files
    assert 30 not in pq.read_table(sorted((tmp_path / "s").glob("part-*"))).column("example_id").to_pylist()


def test_shards_that_lack_anything_are_scored_again(
    scored: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes]
):
    """After files were deleted or damaged, or when two workers could not read the same examples."""
    part = shard_table(scored / "part-000004.parquet")
    pq.write_table(part.slice(3), scored / "part-000004.parquet")
    (scored / "part-000007.parquet").write_bytes(b"PAR1")
    for name in ("part-000003", "part-000005", "failures/part-000005", "failures/part-000009"):
        (scored / f"{name}.parquet").unlink()
    kept = (scored / "part-000000.parquet").stat().st_mtime_ns
    assert score(scored, weights, manifest) == {"scored": 52, "failed": 3, "shards": 14, "precision": "float32"}
    assert content(scored) == undisturbed
    assert (scored / "part-000000.parquet").stat().st_mtime_ns == kept


def test_a_worker_without_the_disk_makes_no_failures(tmp_path: Path, weights: Path, manifest: Path, shapes: Path):
    """It has read nothing, and what others have read it cannot read: it says so and leaves the shards to others."""
    (tmp_path / "m.csv").write_text("\n".join(["path", *paths_of(shapes / "unlabeled.csv")]) + "\n")
    here, away = load_manifest(tmp_path / "m.csv", shapes), load_manifest(tmp_path / "m.csv", tmp_path)
    with refused("files.none_reachable", "none of 52", "m.csv", "No such file", "--root"):
        score(tmp_path / "s", weights, away)
    assert list(content(tmp_path / "s")) == ["plan.json"]
    score(tmp_path / "s", weights, here)
    (tmp_path / "s" / "part-000009.parquet").unlink()
    with refused("files.unreachable", "No such file", "--root"):
        score(tmp_path / "s", weights, away)
    assert score(tmp_path / "s", weights, here) == {"scored": 52, "failed": 0, "shards": 13, "precision": "float32"}


def test_shards_that_are_all_broken_are_failures_once_anything_was_read(
    tmp_path: Path, weights: Path, manifest: Path, shapes: Path
):
    lines = [f"{shapes}/{path}" for path in paths_of(shapes / "unlabeled.csv")]
    gone = [f"/nowhere/{number}.mp4" for number in range(3 * SHARD)]
    (tmp_path / "m.csv").write_text("\n".join(["path", *gone[:SHARD], *lines[:SHARD], *gone[SHARD:]]) + "\n")
    metrics = {"scored": SHARD, "failed": 3 * SHARD, "shards": 4, "precision": "float32"}
    assert score(tmp_path / "s", weights, tmp_path / "m.csv") == metrics
    for number in (2, 3):  # a worker that begins with these finds out by what was read before
        (tmp_path / "s" / f"part-{number:06d}.parquet").unlink()
    assert score(tmp_path / "s", weights, tmp_path / "m.csv") == metrics


@pytest.mark.slow
@pytest.mark.parametrize("full_at", [1, 8, 15])
def test_a_full_disk_loses_nothing_that_was_written(
    tmp_path: Path,
    weights: Path,
    manifest: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    full_at: int,
):
    fsync, written = files.os.fsync, 0

    def fill(descriptor: int) -> None:
        nonlocal written
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        written += ".part-" in name
        fsync(descriptor)
        if written >= full_at and ".part-" in name:
            os.ftruncate(descriptor, 100)
            raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(files.os, "fsync", fill)
    with pytest.raises(OSError, match="No space left"):
        score(tmp_path / "s", weights, manifest)
    monkeypatch.undo()
    left = content(tmp_path / "s")
    assert len(left) == full_at  # the plan, and what was written before
    assert left.items() <= undisturbed.items()
    score(tmp_path / "s", weights, manifest)
    assert content(tmp_path / "s") == undisturbed


def test_another_plan_is_refused(scored: Path, weights: Path, manifest: Path, shapes: Path):
    for change, words in (
        ({"views": 3}, "views 2 .*3"),
        ({"per_example": 2}, "per_example 3 .*2"),
        ({"shard_size": 5}, "shard_size 4 .*5"),
        ({"precision": "bfloat16"}, "precision float32 .*bfloat16"),
    ):
        with pytest.raises(UserError, match=f"{words}.*plan.json") as error:
            score(scored, weights, manifest, **change)
        assert error.value.code == "scores.plan_mismatch"
    with pytest.raises(UserError, match="other manifest") as error:
        score(scored, weights, load_manifest(shapes / "labeled.csv"))
    assert error.value.code == "scores.plan_mismatch"
    assert score(scored, weights, manifest, precision="auto")["precision"] == "float32"
    (scored / "plan.json").unlink()  # the shards tell it, too
    with pytest.raises(UserError, match=r"views 2 .*3.*part-000000\.parquet") as error:
        score(scored, weights, manifest, views=3)
    assert error.value.code == "scores.plan_mismatch"
    (scored / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json") as error:
        score(scored, weights, manifest)
    assert error.value.code == "scores.invalid_plan"


@pytest.fixture
def disk(tmp_path: Path, shapes: Path) -> Path:
    """A manifest beside a folder with copies of 24 videos."""
    names = paths_of(shapes / "unlabeled.csv")[:24]
    (tmp_path / "disk").mkdir()
    for name in names:
        shutil.copy(shapes / name, tmp_path / "disk" / Path(name).name)
    rows = [f"disk/{Path(name).name}" for name in names]
    (tmp_path / "disk.csv").write_text("\n".join(["path", *rows]) + "\n")
    return tmp_path / "disk.csv"


def test_a_disk_that_goes_away_makes_no_failures(
    tmp_path: Path, weights: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
):
    """After some shards, for a while or for good; in the end the directory is that of an undisturbed worker."""
    score(tmp_path / "whole", weights, disk)
    monkeypatch.setattr(reachable, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 0.0)
    read, there, away = views.read_frames, tmp_path / "disk", tmp_path / "away"
    outages = [9, 13]

    def read_until_it_goes(row: Row, *arguments: object, **options: object) -> object:
        if row.example_id in outages:
            outages.remove(row.example_id)
            there.rename(away)
        return read(row, *arguments, **options)

    monkeypatch.setattr(views, "read_frames", read_until_it_goes)
    with refused("files.unreachable", "No such file"):
        score(tmp_path / "s", weights, disk)
    assert not list((tmp_path / "s" / "leases").iterdir())
    assert sorted(file.name for file in (tmp_path / "s").glob("part-*")) == [
        "part-000000.parquet",
        "part-000001.parquet",
    ]
    monkeypatch.setattr(reachable, "WAIT_SECONDS", 60.0)
    away.rename(there)
    monkeypatch.setattr(reachable.time, "sleep", lambda seconds: away.rename(there))
    assert score(tmp_path / "s", weights, disk)["scored"] == 24
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def lose(disk: Path, *numbers: int) -> None:
    """Move some files of a disk aside."""
    for number in numbers:
        file = load_manifest(disk).row(number).path
        Path(file).rename(f"{file}.lost")


def find(disk: Path, *numbers: int) -> None:
    """Move lost files back."""
    for number in numbers:
        file = load_manifest(disk).row(number).path
        Path(f"{file}.lost").rename(file)


@pytest.mark.parametrize("pattern", ["", "No such file", "*.MP4", "disk/000?"])
def test_failures_are_read_again_as_if_they_had_never_failed(tmp_path: Path, weights: Path, disk: Path, pattern: str):
    lose(disk, 5)
    score(tmp_path / "one", weights, disk)  # with the failure that stays
    lose(disk, 2, 3, 8, 23)
    assert score(tmp_path / "s", weights, disk)["failed"] == 5
    find(disk, 2, 3, 8, 23)
    kept = (tmp_path / "s" / "part-000003.parquet").stat().st_mtime_ns
    assert score(tmp_path / "s", weights, disk)["failed"] == 5  # without --retry-failures they are not read again
    assert score(tmp_path / "s", weights, disk, retry_failures=pattern)["failed"] == 1
    assert content(tmp_path / "s") == content(tmp_path / "one")
    assert (tmp_path / "s" / "part-000003.parquet").stat().st_mtime_ns == kept


def test_failures_that_a_pattern_leaves_out_stay(tmp_path: Path, weights: Path, disk: Path):
    lose(disk, 4, 5, 20)
    Path(load_manifest(disk).row(6).path).write_bytes(b"no video")
    score(tmp_path / "s", weights, disk)
    find(disk, 4, 5, 20)
    names = [Path(load_manifest(disk).row(number).path).name for number in (4, 5)]
    assert score(tmp_path / "s", weights, disk, retry_failures=names[0])["failed"] == 3
    failures = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    assert [row["example_id"] for row in failures] == [5, 6, 20]
    lose(disk, 5)
    Path(load_manifest(disk).row(20).path).write_bytes(b"no video, either")
    assert score(tmp_path / "s", weights, disk, retry_failures="such file")["failed"] == 3
    failures = {row["example_id"]: row["error"] for row in pq.read_table(tmp_path / "s" / "failures").to_pylist()}
    assert "No such file" in failures[5] and "No such file" not in failures[20]  # the error of now
    assert failures[6] == failures[20]


@pytest.mark.parametrize("reads", [1, 2, 5, 9])
def test_a_killed_retry_is_resumed_with_or_without_asking(
    tmp_path: Path, weights: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, reads: int
):
    score(tmp_path / "whole", weights, disk)
    lose(disk, 2, 8, 9, 23)
    score(tmp_path / "s", weights, disk)
    find(disk, 2, 8, 9, 23)
    read, left = views.read_frames, [None] * reads

    def read_or_die(*arguments: object, **options: object) -> object:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return read(*arguments, **options)

    monkeypatch.setattr(views, "read_frames", read_or_die)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "s", weights, disk, retry_failures="")
    monkeypatch.undo()
    with refused("scores.retry_in_progress", "retry"):
        score(tmp_path / "s", weights, disk, retry_failures="something else")
    score(tmp_path / "s", weights, disk, **({"retry_failures": ""} if reads % 2 else {}))
    assert content(tmp_path / "s") == content(tmp_path / "whole")


@pytest.mark.slow
def test_several_workers_retry_together_and_are_killed(tmp_path: Path, weights: Path, disk: Path):
    score(tmp_path / "whole", weights, disk)
    lose(disk, *range(0, 24, 3))
    score(tmp_path / "s", weights, disk)
    find(disk, *range(0, 24, 3))
    run_job(tmp_path / "s", weights, disk, workers=3, kills=12, fate="touch", seed=1, retry="")
    assert content(tmp_path / "s") == content(tmp_path / "whole")


JUNK_LEASES = {
    "garbage": b"garbage",
    "empty": b"",
    "huge": b'{"owner": null, "token": "t", "attempt": 1e400, "reading": 1e308, "deaths": {}}',
    "deep": b"[" * 100_000,
    "large": b"x" * (2 << 20),
    "owner": b'{"owner": {"pid": 1e400}, "token": "t", "attempt": 1, "reading": null, "deaths": {}}',
    "deadly": json.dumps(
        {"owner": None, "token": "t", "attempt": 1, "reading": None, "deaths": {str(one): 99 for one in range(60)}}
    ).encode(),
}


def test_junk_in_the_directory_is_put_aside_and_stops_nobody(
    scored: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, caplog
):
    monkeypatch.setattr(leases, "EXPIRY", 0.0)  # of damaged leases, which may be those of a worker
    monkeypatch.setattr(LocalStore, "wait_seconds", 0.0)
    places = [scored / "leases", scored, scored / "failures"]
    places[0].mkdir(exist_ok=True)
    for number, text in enumerate(JUNK_LEASES.values()):
        (places[0] / f"{number:06d}").write_bytes(text)
        (scored / f"part-{number:06d}.parquet").unlink()
    odd = ["7", "²", "abc", "99999999999999999999999999", "000099"]
    for name in odd:
        (places[0] / name).write_text("x")
    odd_shards = ["part-000099.parquet", "part-0000001.parquet", f"part-{'9' * 30}.parquet", "part-x.parquet"]
    for place in places[1:]:
        for name in odd_shards:
            (place / name).write_bytes((scored / "part-000013.parquet").read_bytes())
    for number, place in enumerate(places):
        first = 8 + 2 * number
        name = "{:06d}" if place == places[0] else "part-{:06d}.parquet"
        files = [place / name.format(one) for one in (first % 14, (first + 1) % 14)]
        for file in files:
            file.unlink(missing_ok=True)
            (scored / f"part-{int(re.sub('[^0-9]', '', file.name)):06d}.parquet").unlink(missing_ok=True)
        os.mkfifo(files[0])
        files[1].mkdir()
        (files[1] / "inside").write_text("x")
    (places[0] / "000007").symlink_to("/dev/zero")
    (scored / "part-000007.parquet").unlink()
    (scored / "part-000006.parquet").symlink_to(scored / "part-000004.parquet")
    with caplog.at_level(logging.WARNING, logger="vidsemi"):
        assert score(scored, weights, manifest) == {"scored": 52, "failed": 3, "shards": 14, "precision": "float32"}
    aside = scored / "aside"
    named = "\n".join(caplog.messages)
    damaged = [f"{number:06d}" for number, what in enumerate(JUNK_LEASES) if what != "owner"]
    for name in [*damaged, *odd, *odd_shards, "000007", "000008", "part-000010.parquet", "part-000013.parquet"]:
        assert name in named and list(aside.glob(f"{name}.*"))
    shutil.rmtree(aside)
    assert content(scored) == undisturbed


def test_shards_of_others_are_scored_again(
    scored: Path, weights: Path, manifest: Path, undisturbed: dict[str, bytes], tmp_path: Path, shapes: Path
):
    """A copy of another shard, and one of other weights: both have the right number of rows."""
    shutil.copy(scored / "part-000009.parquet", scored / "part-000003.parquet")
    network, spec = load_weights(weights)
    save_weights(tmp_path / "other.pt", network, spec, {"seed": 1})
    score(tmp_path / "other", tmp_path / "other.pt", manifest)
    shutil.copy(tmp_path / "other" / "part-000007.parquet", scored / "part-000007.parquet")
    score(scored, weights, manifest)
    assert content(scored) == undisturbed


@pytest.mark.parametrize("junk", ["[" * 100_000, "pipe", "folder"])
def test_a_plan_that_is_junk_is_refused(scored: Path, weights: Path, manifest: Path, junk: str):
    (scored / "plan.json").unlink()
    if junk == "pipe":
        os.mkfifo(scored / "plan.json")
    elif junk == "folder":
        (scored / "plan.json").mkdir()
    else:
        (scored / "plan.json").write_text(junk)
    with refused("scores.invalid_plan", "plan.json"):
        score(scored, weights, manifest)


@pytest.mark.parametrize("name", ["failures", "leases", "retry"])
def test_files_in_place_of_folders_are_put_aside(tmp_path: Path, weights: Path, disk: Path, name: str):
    """Even where the folder to put them into is a file itself."""
    score(tmp_path / "whole", weights, disk)
    (tmp_path / "s").mkdir()
    for one in (name, "aside"):
        (tmp_path / "s" / one).write_text("mine")
    score(tmp_path / "s", weights, disk, retry_failures="")
    (aside,) = (tmp_path / "s").glob("aside.*")
    assert [file.read_text() for file in aside.iterdir()] == ["mine"]
    shutil.rmtree(aside)
    (tmp_path / "s" / "aside").unlink()
    assert content(tmp_path / "s") == content(tmp_path / "whole")
