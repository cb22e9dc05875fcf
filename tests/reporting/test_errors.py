"""Where a student errs: confused classes, accuracy by class and calibration, beside scikit-learn and by hand."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix

from tests.helpers.report_runs import fake_run
from tests.helpers.result_rows import load_run, row, write_results
from vidsemi.inference.accuracy import read_class_accuracy
from vidsemi.reporting import mistakes as mistakes_module
from vidsemi.reporting import predictions as predictions_module
from vidsemi.reporting.calibration import calibration_sections
from vidsemi.reporting.class_changes import class_sections
from vidsemi.reporting.confusion import Confusion, confusion_sections
from vidsemi.reporting.mistakes import worst_mistakes
from vidsemi.reporting.predictions import read_predictions

CLASSES = [f"class {letter}" for letter in "abcde"]
BEST = ("medium", "semi_weakly_supervised")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("run"), CLASSES, 200)


def stored(run: Path) -> list[dict]:
    """The readable predictions of the best student, both seeds, as pyarrow reads them."""
    files = sorted(run.glob("seed*/s1/semi_weakly_supervised/evaluate/predictions.parquet"))
    assert len(files) == 2
    return [one for file in files for one in pq.read_table(file).to_pylist() if one["error"] is None]


def test_confusion_is_that_of_scikit_learn(run: Path):
    rows = [one for one in load_run(run)[0].rows if (one["student"], one["approach"]) == BEST]
    predictions = read_predictions(rows, run)
    assert predictions is not None and predictions.classes == CLASSES and predictions.unread == 2
    confusion, examples = Confusion.of(predictions), stored(run)
    truth, predicted = ([one[name] for one in examples] for name in ("label", "class_1"))
    expected = confusion_matrix(truth, predicted, labels=CLASSES)
    np.testing.assert_array_equal(confusion.matrix(range(5)), expected)
    np.testing.assert_array_equal(confusion.matrix([3, 1]), expected[np.ix_([3, 1], [3, 1])])
    counts = [confusion.count[place] for place in confusion.most_confused()]
    assert counts == sorted((n for n in (expected - np.diag(np.diag(expected))).ravel().tolist() if n), reverse=True)


def test_the_pairs_of_the_best_student_are_a_table(run: Path):
    (section,) = confusion_sections(load_run(run))
    true, predicted, count, share = section.tables[0].rows[0]
    own = [one for one in stored(run) if one["label"] == true]
    same = sum(one["class_1"] == predicted for one in own)
    assert (count, share) == (str(same), f"{100 * same / len(own):.1f}%")
    assert "medium, semi-weakly-supervised, 2 seeds together" in section.text[0]
    assert section.plots[0].fold == "" and len(section.plots[0].panels[0].heat.rows) == 5


def test_many_classes_show_the_confused_ones(tmp_path: Path):
    names = [f"class {number}" for number in range(60)]
    (section,) = confusion_sections(load_run(fake_run(tmp_path, names, 600, seeds=1, students=("small",))))
    heat = section.plots[0].panels[0].heat
    assert 30 < len(heat.rows) <= 40 and len({*heat.rows}) == len(heat.rows) and section.plots[0].fold
    assert {*section.tables[0].rows[0][:2]} <= {*heat.rows}


def test_changes_are_against_the_same_student_on_labels_alone(run: Path):
    (section,) = class_sections(load_run(run))
    tables = [
        [read_class_accuracy(run / f"seed{seed}/s1/{how}/evaluate/classes.csv")[2].top1 for seed in (0, 1)]
        for how in ("semi_weakly_supervised", "supervised")
    ]
    after, before = (sum(values) / 2 for values in tables)
    cells = section.tables[0].rows[2]
    assert cells == ("class c", "19", "40", f"{after:.1f}", f"{before:.1f}", f"{after - before:+.1f}")


def test_calibration_has_a_row_for_each_result(run: Path):
    (section,) = calibration_sections(load_run(run))
    rows = {cells[:2]: cells[2:] for cells in section.tables[0].rows}
    assert len(rows) == 7
    examples = stored(run)
    right = 100 * sum(one["label"] == one["class_1"] for one in examples) / len(examples)
    confidence = 100 * sum(one["score_1"] for one in examples) / len(examples)
    assert rows[BEST][:2] == (f"{right:.1f}", f"{confidence:.1f}") and rows[BEST][3] == "2"
    assert abs(right - confidence) - 0.1 <= float(rows[BEST][2]) <= 100


def test_runs_without_predictions_have_no_such_sections(tmp_path: Path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    rows = [row("s", "supervised", 0, 50.0), row("s", "supervised", 1, 50.0, predictions="broken.parquet")]
    runs = load_run(write_results(tmp_path, rows))
    for sections_of in (confusion_sections, calibration_sections, class_sections):
        assert sections_of(runs) == []


def test_reading_makes_no_objects_of_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (predictions_module, mistakes_module):
        monkeypatch.setattr(module, "ROWS", 1000)
    names = np.array(CLASSES)
    labels, predicted = np.random.default_rng(0).integers(0, len(CLASSES), (2, 60_000))
    scores = np.random.default_rng(1).random(60_000, np.float32)
    columns = {"example_id": np.arange(60_000), "label": names[labels], "class_1": names[predicted], "score_1": scores}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    for _ in range(2):  # the first time for what is loaded
        tracemalloc.start()
        read = read_predictions([{"predictions": "p.parquet"}], tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        worst, wrong, total = worst_mistakes(tmp_path / "p.parquet", 3)
        peak_of_mistakes = tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert read is not None and read.classes == CLASSES
    assert np.array_equal(read.truth, labels) and np.array_equal(read.predicted, predicted)
    assert peak < 60_000 * 40 and peak_of_mistakes < 60_000 * 10  # as objects they take over 100 bytes each
    places = np.flatnonzero(labels != predicted)
    order = places[np.argsort(-scores[places])]
    assert [row[0] for row in worst] == order[:3].tolist() and (wrong, total) == (len(places), 60_000)
