"""The worst mistakes: which ones, of which network, and what happens if their data is gone."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.errors import refused
from tests.helpers.report_runs import fake_run
from tests.helpers.result_rows import load_run, row, write_results
from tests.reporting.test_selected_examples import Cards
from vidsemi.data.manifest import load_manifest
from vidsemi.io.tables import csv_text
from vidsemi.reporting.mistakes import mistake_sections, worst_mistakes
from vidsemi.reporting.previews import PreviewMaker
from vidsemi.reporting.write import write_report

CLASSES = ["<u>one</u>", "two", "three"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on 90 images, with the records of its evaluations."""
    folder = fake_run(tmp_path / "run", CLASSES, 90, seeds=2, students=["small"])
    rows = [{"path": f"{number:05}.png", "label": CLASSES[number % 3]} for number in range(90)]
    (tmp_path / "test.csv").write_text(csv_text(rows))
    for number in range(89):
        Image.new("RGB", (16, 12), (2 * number, 0, 0)).save(tmp_path / f"{number:05}.png")
    manifest = load_manifest(tmp_path / "test.csv")
    record = {
        "fields": {"test": manifest.fingerprint},
        "manifests": {"test": [{"file": str(manifest.file), "root": None}]},
    }
    for file in folder.rglob("predictions.parquet"):
        file.with_name("stage.json").write_text(json.dumps(record))
    return folder


def maker(count: int = 1) -> PreviewMaker:
    return PreviewMaker(count, workers=0, seconds=None)


def test_they_are_those_of_the_best_student_with_the_highest_scores(run: Path):
    rows = json.loads((run / "results.json").read_text())
    best = max((one for one in rows if one["student"] != "teacher"), key=lambda one: one["top1"])
    (section,) = mistake_sections(load_run(run), maker())
    for text in (best["student"], best["approach"], f"seed {best['seed']}"):
        assert text in section.title
    table = pq.read_table(run / best["predictions"]).to_pylist()
    wrong = [one for one in table if one["error"] is None and one["class_1"] != one["label"]]
    wrong.sort(key=lambda one: (-one["score_1"], one["example_id"]))
    assert len(wrong) > 2
    (cards,) = Cards(str(section.html)).strips.values()
    assert len(cards) == min(6, len(wrong))
    for card, one in zip(cards, wrong, strict=False):
        text = " ".join(card["texts"])
        assert text.startswith(f"predicted {one['class_1']} {one['score_1']:.3f} is {one['label']} ")
        assert text.endswith(f"/{one['example_id']:05}.png") and card["src"]
    assert f"{len(wrong)} of 89 test examples" in str(section.html)
    assert "u" not in Cards(str(section.html)).tags
    assert [*(run / best["predictions"]).parent.glob("previews/*.webp")]


def test_the_report_has_them_unless_nobody_wants_previews(run: Path):
    document = write_report([run], run, previews=maker()).document
    page = (run / "report.html").read_text()
    assert "Worst mistakes" in page and 'class="gallery"' in page
    assert "Worst mistakes" not in (run / "results.md").read_text()
    assert "What was selected" in page and "No examples are shown" in page  # of a selection without records
    assert document["previews"][-1]["section"].startswith("Worst mistakes")
    for none in (None, maker(0)):
        assert write_report([run], run, previews=none).document["previews"] == []
        assert "Worst mistakes" not in (run / "report.html").read_text()


def test_a_run_whose_data_is_gone_still_has_a_report(run: Path):
    (run.parent / "test.csv").unlink()
    (section,) = mistake_sections(load_run(run), maker())
    assert section.html is None and "test.csv" in section.text[0]
    for file in run.rglob("predictions.parquet"):
        file.write_bytes(b"PAR1")
    (section,) = mistake_sections(load_run(run), maker())
    assert section.html is None and "predictions.parquet" in section.text[0]


def test_predictions_without_labels_are_refused_and_those_without_mistakes_are_praised(tmp_path: Path, run: Path):
    columns = {"example_id": np.arange(2), "class_1": ["a", None], "score_1": np.array([0.5, 0], np.float32)}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with refused("predictions.unreadable", "p.parquet", "label"):
        worst_mistakes(tmp_path / "p.parquet", 3)
    pq.write_table(pa.table({**columns, "label": ["a", "b"]}), run / "p.parquet")
    assert worst_mistakes(run / "p.parquet", 3) == ([], 0, 1)
    stage = next(run.rglob("evaluate/stage.json"))
    pq.write_table(pa.table({**columns, "label": ["a", "b"]}), stage.with_name("predictions.parquet"))
    predictions = str(stage.with_name("predictions.parquet").relative_to(run))
    write_results(run, [row("s", "supervised", 0, 100.0, predictions=predictions)])
    (section,) = mistake_sections(load_run(run), maker())
    assert "All 1 test examples" in section.text[0]
    assert mistake_sections([], maker()) == []
