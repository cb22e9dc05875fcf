"""Scoring by several workers, workers that die, files that crash them, full disks: the same directory in the end."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.helpers.builders import paths_of
from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.inference.score import score_manifest
from vidsemi.io.errors import UserError
from vidsemi.selection import score_writer

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


def run_job(folder: Path, weights: Path, manifest: Path, **job: object) -> dict:
    script = REPOSITORY / "tests" / "helpers" / "score_jobs.py"
    paths = {"folder": str(folder), "weights": str(weights), "manifest": str(manifest)}
    words = json.dumps({"workers": 1, "kills": 0, "seed": 0, "shard_size": SHARD, **paths, **job})
    done = subprocess.run([sys.executable, script, words], capture_output=True, text=True)
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
    job = {"deadly": Path(deadly).name, "kills": 5, "workers": 1}
    assert run_job(tmp_path / "s", weights, manifest, **job) == {"killed": 5}
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
    part = pq.read_table(scored / "part-000004.parquet")
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
    with pytest.raises(UserError, match=r"52 .*No such file") as error:
        score(tmp_path / "s", weights, away)
    assert error.value.code == "scores.nothing_readable"
    assert list(content(tmp_path / "s")) == ["plan.json"]
    score(tmp_path / "s", weights, here)
    (tmp_path / "s" / "part-000009.parquet").unlink()
    with pytest.raises(UserError, match="--root") as error:
        score(tmp_path / "s", weights, away)
    assert error.value.code == "scores.unreadable_here"
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
    write, written = pq.write_table, 0

    def fill(table: object, file: Path, **options: object) -> None:
        nonlocal written
        written += 1
        write(table, file, **options)
        if written >= full_at:
            Path(file).write_bytes(Path(file).read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(score_writer.pq, "write_table", fill)
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
