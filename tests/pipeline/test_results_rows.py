"""results.json: which rows a run leaves, and which it keeps of others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.data.manifest import load_manifest
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.pipeline import run as pipeline


@pytest.fixture
def load(tiny_config: Callable[..., Path]) -> Callable[..., Config]:
    return lambda *overrides: load_config(str(tiny_config()), overrides)


def test_students_are_tested_before_they_are_fine_tuned_if_asked(load: Callable[..., Config]):
    """A test of other weights; a run that is done gets it afterwards, and nothing else is done anew."""
    config = load()
    rows = pipeline.run(config)
    before = {file: file.stat().st_mtime_ns for file in Path(config.output).rglob("stage.json")}
    more = pipeline.run(load("evaluate.pretrained=true"))
    (added,) = (row for row in more if row["approach"] == "semi_supervised_pretrained")
    assert [row for row in more if row is not added] == rows
    assert added["weights"] == "seed0/small/semi_supervised/pretrain/weights.pt"
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    alone = evaluate_weights(
        weights=Path(config.output) / added["weights"],
        manifest=load_manifest(Path(config.data.test.manifest)),
        views=2,
        runtime=config.runtime,
        title="alone",
    )
    assert alone["top1"] == added["top1"]


def test_results_outlive_a_shorter_run(load: Callable[..., Config]):
    config = load()
    rows = pipeline.run(config)
    assert pipeline.run(config, until="teacher") == rows
    assert json.loads((Path(config.output) / "results.json").read_text()) == rows


def test_results_of_approaches_that_are_left_out_are_kept(load: Callable[..., Config]):
    config = load()
    rows = pipeline.run(config)
    fewer = pipeline.run(load("approaches=[supervised]"))
    assert sorted(map(str, fewer)) == sorted(map(str, rows))
