"""The mean of several teachers' scores, held against numpy."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers.errors import refused
from vidsemi.selection.mean_scores import mean_scores
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import open_shards, read_info, shard_files
from vidsemi.selection.score_writer import top_classes, write_failures, write_shard
from vidsemi.selection.select import select

CLASSES = ["a", "b", "c", "d", "e"]


def write(folder: Path, scores: np.ndarray, per_example: int, failed: list[int], **more: object) -> Path:
    """Two shards of scores (N, classes), without the failed examples."""
    info = {"manifest": "m", "classes": CLASSES, "per_example": per_example, "views": 2, "shards": 2, **more}
    info |= {"examples": len(scores), "weights": folder.name}
    for number, ids in enumerate(np.split(np.arange(len(scores)), [len(scores) // 2])):
        read = ids[~np.isin(ids, failed)]
        write_failures(
            folder, number, [(int(one), f"{one}.mp4", f"{folder.name} {one}") for one in ids if one in failed]
        )
        write_shard(folder, number, read, *top_classes(scores[read], per_example), ScoresInfo(**info))
    return folder


def rows_of(folder: Path) -> np.ndarray:
    """(rows, 3): example, label, score."""
    tables = [pq.read_table(file).to_pandas().to_numpy() for file in sorted(folder.glob("part-*.parquet"))]
    return np.concatenate(tables)


@pytest.fixture
def softmax() -> np.ndarray:
    """(teachers, examples, classes)."""
    logits = np.random.default_rng(0).normal(size=(3, 40, len(CLASSES)))
    return (np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)).astype(np.float32)


def test_the_mean_of_teachers_is_that_of_numpy(tmp_path: Path, softmax: np.ndarray):
    failed = [[3], [3, 25], []]
    folders = [write(tmp_path / f"t{n}", softmax[n], 5, failed[n], frames=4 * n + 4, crop=16) for n in range(3)]
    metrics = mean_scores(tmp_path / "mean", folders, per_example=2, title="mean")
    assert metrics == {"scored": 38, "failed": 2, "shards": 2}
    expected = np.mean(softmax, axis=0, dtype=np.float64).astype(np.float32)
    rows, read = rows_of(tmp_path / "mean"), [one for one in range(40) if one not in (3, 25)]
    labels = np.argsort(-expected[read], axis=1, kind="stable")[:, :2]
    np.testing.assert_array_equal(rows[:, 0].reshape(-1, 2), np.repeat(read, 2).reshape(-1, 2))
    np.testing.assert_array_equal(rows[:, 1].reshape(-1, 2), labels)
    np.testing.assert_array_equal(
        rows[:, 2].reshape(-1, 2).astype(np.float32), np.take_along_axis(expected[read], labels, axis=1)
    )
    failures = pq.read_table(tmp_path / "mean/failures").to_pylist()
    assert [(one["example_id"], one["error"]) for one in failures] == [(3, "t0 3"), (25, "t1 25")]
    info = read_info(tmp_path / "mean/part-000000.parquet")
    assert (info.frames, info.crop, info.per_example, info.classes) == (None, 16, 2, CLASSES)
    assert info.weights not in {"t0", "t1", "t2"}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_soft_targets_of_several_teachers(tmp_path: Path, softmax: np.ndarray, temperature: float):
    """Their stored mean scores to the power 1/T, divided by the sum."""
    folders = [write(tmp_path / f"t{n}", softmax[n], 5, []) for n in range(3)]
    mean_scores(tmp_path / "mean", folders, per_example=3, title="mean")
    shards, info = open_shards(shard_files(tmp_path / "mean"))
    selection = select(shards, info, per_class=6, per_example=2, targets="soft", temperature=temperature)
    ids, targets = selection.examples()
    mean = np.mean(softmax, axis=0, dtype=np.float64)
    lowest = np.sort(mean, axis=1)[:, [-3]]
    expected = np.where(mean >= lowest, mean, 0) ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    assert len(ids) > 6
    np.testing.assert_allclose(targets.toarray(), expected[ids], rtol=1e-5, atol=1e-7)


def test_classes_that_no_teacher_knows_are_never_among_the_highest(tmp_path: Path, softmax: np.ndarray):
    softmax[:, :, [0, 2]] = 0  # outputs that do not exist, and scores that are 0 in float32
    softmax[:, :, 1] = 0
    folders = [write(tmp_path / f"t{n}", softmax[n], 5, []) for n in range(2)]
    mean_scores(tmp_path / "mean", folders, per_example=5, known=[1, 3, 4], title="mean")
    rows = rows_of(tmp_path / "mean").reshape(40, 3, 3)
    assert (np.sort(rows[:, :, 1], axis=1) == [1, 3, 4]).all()
    assert (rows[:, 2, 1] == 1).all()


def test_a_class_that_is_not_stored_counts_as_zero_and_shards_that_are_there_stay(tmp_path: Path, softmax: np.ndarray):
    folders = [write(tmp_path / f"t{n}", softmax[n], 2, []) for n in range(2)]
    mean_scores(tmp_path / "mean", folders, per_example=4, title="mean")
    kept = [np.where(-one >= np.sort(-one, axis=1)[:, [2]], 0, one) for one in softmax[:2]]
    expected = np.sort(np.mean(kept, axis=0, dtype=np.float64).astype(np.float32), axis=1)[:, :0:-1]
    np.testing.assert_array_equal(rows_of(tmp_path / "mean")[:, 2].reshape(40, 4).astype(np.float32), expected)
    files = [tmp_path / f"mean/part-00000{n}.parquet" for n in range(2)]
    before, content = files[1].stat().st_mtime_ns, files[0].read_bytes()
    files[0].unlink()
    mean_scores(tmp_path / "mean", folders, per_example=4, title="mean")
    assert (files[1].stat().st_mtime_ns, files[0].read_bytes()) == (before, content)


def test_scores_that_cannot_be_averaged(tmp_path: Path, softmax: np.ndarray):
    first = write(tmp_path / "first", softmax[0], 5, [])
    for name, more in {"views": {"views": 3}, "manifest": {"manifest": "n"}, "shard_size": {"shard_size": 9}}.items():
        other = write(tmp_path / name, softmax[1], 5, [], **more)
        if name == "shard_size":
            (other / "part-000001.parquet").unlink()
        with refused("scores.mismatch", other, first):
            mean_scores(tmp_path / "mean", [first, other], per_example=2, title="mean")
    (first / "failures/part-000000.parquet").write_bytes(b"PAR1")
    with refused("scores.invalid_failures", first):
        mean_scores(tmp_path / "mean", [first, write(tmp_path / "o", softmax[1], 5, [])], per_example=2, title="mean")
