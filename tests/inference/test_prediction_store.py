"""Predictions on disk: as they were added, in row groups, and from several processes in the order of the examples."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.inference import evaluate, prediction_store
from vidsemi.inference.accuracy import UNREADABLE
from vidsemi.inference.prediction_store import PredictionStore
from vidsemi.inference.predictions import write_predictions
from vidsemi.inference.score_views import VideoScore
from vidsemi.runtime.distributed import Processes

CLASSES = [f"class {number}" for number in range(9)]


def scores_of(count: int) -> list[VideoScore]:
    views = np.random.default_rng(0).dirichlet(np.ones(len(CLASSES)), (count, 1)).astype(np.float32)
    return [
        VideoScore(i, None, f"broken {i} \udcff") if i % 7 == 3 else VideoScore(i, own) for i, own in enumerate(views)
    ]


def expected_of(scores: list[VideoScore]) -> list[tuple[list[int], list[float], str | None]]:
    rows = []
    for score in scores:
        own = score.probabilities
        best = [] if own is None else np.argsort(-own, kind="stable")[:5].tolist()
        rows.append((best, [] if own is None else own[best].tolist(), score.error))
    return rows


@pytest.mark.parametrize("size", [1, 3])
def test_they_are_those_of_all_processes_in_order(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prediction_store, "MESSAGE", 4)
    monkeypatch.setattr(prediction_store, "processes", lambda: Processes(0, size))
    scores, stores = scores_of(41), [PredictionStore(tmp_path, 5) for _ in range(size)]
    for score in scores:
        stores[score.example_id % size].add(score)
    begins = iter(range(0, 41, 4))

    def gather(own: list) -> list:
        begin = next(begins)
        assert own == stores[0].read(begin, begin + 4)
        return [store.read(begin, begin + 4) for store in stores]

    monkeypatch.setattr(prediction_store, "gather", gather)
    with PredictionStore(tmp_path, 5) as store:
        store.add_of_processes(stores[0], 41)
        assert store.read(0, 99) == expected_of(scores)
    assert not [*tmp_path.iterdir()]


def test_ranks_of_all_processes(monkeypatch: pytest.MonkeyPatch):
    ranks = np.arange(11)
    ranks[4] = UNREADABLE
    shares, begins = [ranks[rank::3] for rank in range(3)], iter((0, 2))

    def gather(own: list[int]) -> list[list[int]]:
        begin = next(begins)
        return [share[begin : begin + 2].tolist() for share in shares]

    monkeypatch.setattr(evaluate, "MESSAGE", 2)
    monkeypatch.setattr(evaluate, "processes", lambda: Processes(1, 3))
    monkeypatch.setattr(evaluate, "gather", gather)
    assert evaluate._of_all_processes(shares[1], 11).tolist() == ranks.tolist()


def test_a_large_set_is_written_in_row_groups_and_a_small_one_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_manifest(tmp_path / "m.parquet", {"path": [f"{n}.mp4" for n in range(50)]})
    manifest, scores = load_manifest(tmp_path / "m.parquet"), scores_of(50)
    for name, part in (("whole", 1 << 20), ("parts", 16)):
        monkeypatch.setattr(prediction_store, "PART", part)
        with PredictionStore(tmp_path, 5) as store:
            for score in scores:
                store.add(VideoScore(score.example_id, score.views, score.error and score.error[:9]))
            write_predictions(tmp_path / f"{name}.parquet", manifest, CLASSES, 5, store.parts())
    whole, parts = (pq.ParquetFile(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    assert (whole.num_row_groups, parts.num_row_groups) == (1, 4)
    assert parts.read().equals(whole.read())
    for row, (labels, own, error) in zip(whole.read().to_pylist(), expected_of(scores), strict=True):
        assert row["error"] == (error and error[:9])
        assert [row[f"class_{rank}"] for rank in range(1, 6)] == [CLASSES[n] for n in labels] or error
        assert [row[f"score_{rank}"] for rank in range(1, 6)] == own or error


def test_they_take_no_memory(tmp_path: Path):
    scores = scores_of(20)
    with PredictionStore(tmp_path, 5) as store:
        store.add(scores[0])
        tracemalloc.start()
        for number in range(2000):
            store.add(scores[number % 20])
        assert tracemalloc.get_traced_memory()[0] < 50_000  # as lists they take 600 bytes each
        tracemalloc.stop()
    assert len(store) == 2001
