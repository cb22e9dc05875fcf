"""A study: the variants of a run share what is equal, and each gives what a run of its own gives."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.test_run import snapshot
from vidsemi.config import Config
from vidsemi.pipeline import run as pipeline
from vidsemi.reporting.write import write_report

LoadConfig = Callable[..., Config]
STUDY = "variants={title: selected per class, values: {select.per_class: [2, 3]}}"


@pytest.mark.slow
def test_a_study_shares_stages_and_equals_runs_of_their_own(finished_run: Path, load: LoadConfig, tmp_path: Path):
    config = load(STUDY, f"output={tmp_path / 'study'}")
    rows = pipeline.run(config, reuse=[finished_run])  # its selections have 3 per class, its teachers are the same
    output = Path(config.output)
    assert {(row["variant"], row["student"], row["approach"], row["seed"]) for row in rows} == {
        (variant, student, approach, seed)
        for variant in ("2", "3")
        for student, approach in (("teacher", "teacher"), ("small", "supervised"), ("small", "semi_supervised"))
        for seed in (0, 5)
    }
    assert all(row["varied"] == "selected per class" for row in rows)
    shared = {"seed0/teacher/train", "seed0/teacher/score"}
    own = {"seed0/teacher/select", "seed0/small/semi_supervised/finetune"}
    for name in shared:
        assert (output / name / "stage.json").exists()
        assert not (output / "2" / name).exists()
    for name in own:
        assert {folder for folder in ("2", "3") if (output / folder / name / "stage.json").exists()} == {"2", "3"}
        assert not (output / name).exists()
    single = {
        (row["student"], row["approach"], row["seed"]): row
        for row in json.loads((finished_run / "results.json").read_text())
    }
    for row in rows:
        if row["variant"] == "3":
            expected = single[row["student"], row["approach"], row["seed"]]
            assert row["top1"] == expected["top1"]
            assert (output / row["weights"]).read_bytes() == (finished_run / expected["weights"]).read_bytes()
    selected = [(output / name / "seed0/teacher/select/selection.parquet").read_bytes() for name in ("2", "3")]
    assert selected[0] != selected[1]
    before = snapshot(output)
    assert pipeline.run(config) == rows
    assert snapshot(output) == before
    document, text = pipeline.check(config)
    assert set(document["stages"].values()) == {"done"}
    assert "2: 8 classes" in text
    report = write_report([output], output)
    assert (output / "variants.svg").is_file()
    assert {line["variant"] for line in report.document["lines"]} == {"2", "3"}
    compared = {
        (gain["variant"], gain["approach"], gain["baseline_variant"], gain["baseline"])
        for gain in report.document["gains"]
    }
    assert compared == {  # the supervised students of both variants are the same networks
        ("2", "semi_supervised", "2", "supervised"),
        ("3", "semi_supervised", "3", "supervised"),
        ("3", "semi_supervised", "2", "semi_supervised"),
    }
    sections = (output / "results.md").read_text()
    assert "| teacher, 2 " in sections and "| teacher, 3 " in sections
    assert "Accuracy against selected per class" in sections


@pytest.mark.slow
def test_a_variant_that_is_added_leaves_the_others_alone(finished_run: Path, load: LoadConfig, tmp_path: Path):
    output = f"output={tmp_path / 'study'}"
    pipeline.run(load("seeds=[0]", STUDY, output), until="select", reuse=[finished_run])
    before = snapshot(tmp_path / "study")
    more = "variants={title: selected per class, values: {select.per_class: [2, 3, 4]}}"
    pipeline.run(load("seeds=[0]", more, output), until="select")
    after = snapshot(tmp_path / "study")
    assert before.items() <= after.items()
    assert {Path(name).parts[0] for name in after.keys() - before.keys()} == {"4"}
