"""What runs and reports state about duplicates of test sets."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.builders import paths_of
from tests.helpers.result_rows import row
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.data.dedup.checks import Check, describe_checks
from vidsemi.pipeline import run as pipeline
from vidsemi.reporting.write import write_report


@pytest.mark.slow
def test_a_run_records_what_was_checked(tiny_config: Callable[..., Path], shapes: Path, tmp_path: Path):
    clean = tmp_path / "clean" / "unlabeled.csv"
    command = ["manifest", "table", str(shapes / "unlabeled.csv"), "--output", str(clean), "--workers", "0"]
    assert cli.main([*command, "--exclude-duplicates-of", str(shapes / "test.csv")]) == 0
    unchecked = tmp_path / "labeled.csv"  # without the record of the generated clips
    unchecked.write_text((shapes / "labeled.csv").read_text().replace("labeled/", f"{shapes}/labeled/"))
    datasets = [f"data.unlabeled={clean}", f"data.labeled={unchecked}"]
    config = load_config(str(tiny_config()), [*datasets, "train.supervised.examples=8"])
    document, text = pipeline.check(config)
    unlabeled, labeled = sorted(document["duplicates"], key=lambda check: check["counts"] is None)
    assert (unlabeled["dataset"], labeled["dataset"]) == ("unlabeled", "labeled")
    assert "Checked for duplicates of the test set: unlabeled (" in text
    assert "NOT checked for duplicates of the test set: labeled." in text
    pipeline.run(config, until="teacher")
    assert json.loads((Path(config.output) / "duplicates.json").read_text())["checks"][1] == unlabeled
    with open(clean, "a", encoding="utf-8") as file:  # what was checked is another manifest now
        file.write(f"{shapes / paths_of(shapes / 'unlabeled.csv')[0]},\n")
    document, text = pipeline.check(load_config(str(tiny_config()), [*datasets, "output=elsewhere"]))
    assert all(check["counts"] is None for check in document["duplicates"])
    assert "NOT checked for duplicates of the test set: labeled, unlabeled." in text


@pytest.mark.slow
def test_every_report_states_it(tmp_path: Path):
    found = {"max_distance": 6, "exact": 10, "near": 2, "unread": 0, "flat": 0, "dataset_unread": 3, "dataset_flat": 4}
    names = {"manifest": "<u>.csv", "test": "test", "test_manifest": "t.csv"}
    runs = [tmp_path / "old", tmp_path / "new"]
    for run in runs:
        run.mkdir()
        (run / "results.json").write_text(json.dumps([row("a", "supervised", 0, 50.0)]))
    checks = [{"dataset": "unlabeled", **names, "counts": found}, {"dataset": "labeled", **names, "counts": None}]
    (runs[1] / "duplicates.json").write_text(json.dumps({"format": 2, "checks": checks}))
    written = write_report([runs[1]], runs[1])
    checked = "unlabeled (12 removed: 10 exact, 2 near, up to 6 of 64 bits; 3 of its examples do not decode; "
    checked += "4 of its examples show next to nothing and were compared by their bytes alone)."
    for text in (written.text, (runs[1] / "results.md").read_text(), (runs[1] / "report.html").read_text()):
        assert f"Checked for duplicates of the test set: {checked}" in text
        assert "NOT checked for duplicates of the test set: labeled." in text
    assert '<p class="warning">NOT checked' in (runs[1] / "report.html").read_text()
    assert "&lt;u&gt;.csv" in (runs[1] / "report.html").read_text()
    assert json.loads((runs[1] / "report.json").read_text())["duplicates"]["runs"] == {"new": checks}
    both = write_report(runs, tmp_path / "both")
    assert "**old: It is not known whether" in both.text
    assert f"- new: Checked for duplicates of the test set: {checked}" in both.text
    assert both.document["duplicates"]["runs"]["old"] is None


def test_a_hint_names_only_the_test_sets_of_its_own_dataset():
    splits = [Check("its own training set", f"train{n}.csv", f"ucf split {n}", f"test{n}.csv", None) for n in (1, 2)]
    run = [Check(name, f"{name}.csv", "test", "test.csv", None) for name in ("labeled", "unlabeled")]
    unknown = Check("what the weights were trained on", "", "test", "test.csv", None)
    _, (warning, hint) = describe_checks(splits)
    assert "the test set of ucf split 1, the test set of ucf split 2: its own training set." in warning
    assert hint.endswith(
        "manifest table train1.csv --exclude-duplicates-of test1.csv --output …, and likewise train2.csv"
    )
    _, (warning, hint) = describe_checks([*run, unknown])
    assert "labeled, unlabeled, what the weights were trained on." in warning
    assert hint.endswith("table labeled.csv --exclude-duplicates-of test.csv --output …, and likewise unlabeled.csv")
    parts = [Check("unlabeled", f"{part}.csv", "test", "test.csv", None) for part in ("half", "whole")]
    assert describe_checks(parts)[1][0].endswith(": unlabeled.")  # the several unlabeled sets of a study
    assert describe_checks([unknown])[1] == [
        "NOT checked for duplicates of the test set: what the weights were trained on.",
        "Test accuracy may be inflated if the training data contains test examples.",
    ]
