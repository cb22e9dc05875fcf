"""results.json: which rows a run leaves, and which it keeps of others."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vidsemi.config import Config
from vidsemi.data.manifest import load_manifest
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.pipeline import run as pipeline

LoadConfig = Callable[..., Config]
pytestmark = pytest.mark.slow


@pytest.fixture
def rows(finished_run: Path) -> list[dict]:
    return json.loads((finished_run / "results.json").read_text())


def test_students_are_tested_before_they_are_fine_tuned_if_asked(load: LoadConfig, copied_run: Path, rows: list[dict]):
    """A test of other weights; a run that is done gets it afterwards, and nothing else runs again."""
    config = load("evaluate.pretrained=true")
    before = {file: file.stat().st_mtime_ns for file in copied_run.rglob("stage.json")}
    more = pipeline.run(config)
    added, _ = (row for row in more if row["approach"] == "semi_supervised_pretrained")
    assert [row for row in more if row["approach"] != "semi_supervised_pretrained"] == rows
    assert added["weights"] == "seed0/small/semi_supervised/pretrain/weights.pt"
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    alone = evaluate_weights(
        weights=copied_run / added["weights"],
        manifest=load_manifest(Path(config.data.test.manifest)),
        views=2,
        runtime=config.runtime,
        title="alone",
    )
    assert alone["top1"] == added["top1"]


def test_results_outlive_a_shorter_run(load: LoadConfig, copied_run: Path, rows: list[dict]):
    assert pipeline.run(load(), until="teacher") == rows
    assert json.loads((copied_run / "results.json").read_text()) == rows


@pytest.mark.parametrize("fewer", ["approaches=[supervised]", "seeds=[5]"])
def test_results_that_a_config_leaves_out_are_kept(load: LoadConfig, copied_run: Path, rows: list[dict], fewer: str):
    assert sorted(map(str, pipeline.run(load(fewer)))) == sorted(map(str, rows))


def test_results_go_with_their_weights(load: LoadConfig, copied_run: Path, rows: list[dict]):
    (copied_run / "seed0/small/semi_supervised/finetune/weights.pt").unlink()
    left = pipeline.run(load("approaches=[supervised]"))
    (lost,) = [row for row in rows if row not in left]
    assert (lost["approach"], lost["seed"]) == ("semi_supervised", 0)


def test_every_row_names_predictions_that_give_its_accuracy(finished_run: Path, rows: list[dict]):
    assert len({row["predictions"] for row in rows}) == len({row["weights"] for row in rows})
    for row in rows:
        assert row["predictions"] == row["classes"].replace("classes.csv", "predictions.parquet")
        table = pq.read_table(finished_run / row["predictions"]).to_pylist()
        assert len(table) == row["total"]
        assert 100 * sum(one["class_1"] == one["label"] for one in table) / len(table) == pytest.approx(row["top1"])
