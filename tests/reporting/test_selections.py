"""The sections of selections: table, plot and warnings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers.result_rows import row, run_of, write_results
from vidsemi.inference.accuracy import ClassAccuracy, write_class_accuracy
from vidsemi.io.files import write_text
from vidsemi.io.tables import csv_text
from vidsemi.pipeline.precision import ClassPrecision
from vidsemi.reporting.precision import precision_sections
from vidsemi.reporting.render import to_html, to_markdown
from vidsemi.reporting.selections import selection_plot, selection_sections
from vidsemi.reporting.write import write_report
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select


def selection(names: list[str]) -> Selection:
    """Ten examples, all of the first class; the others have none."""
    rows = ScoreRows(np.arange(10), np.zeros(10, np.int16), np.linspace(0.1, 0.9, 10, dtype=np.float32))
    shards = [ScoreShard("part 0", 0, lambda: [rows], lambda: 10)]
    return select(shards, ScoresInfo("m", "w", names, 1, views=10, examples=20), per_class=3, per_example=1)


def test_a_section_has_a_table_a_plot_and_warnings(tmp_path: Path):
    names = ["<b>bold</b>", "nobody's", "$\\foo$|"]
    selection(names).write(tmp_path / "seed3/teacher/select/selection.parquet")
    (section,) = selection_sections([run_of([], folder=tmp_path)])
    assert section.title == "Selections" and section.plots[0].panels[0].title == "teacher"
    assert any("15.0% of 20" in text for text in section.text)
    assert any("2 of 3 classes have no candidates" in text for text in section.warnings)
    text = to_markdown([section])
    row = next(line for line in text.splitlines() if line.startswith("|") and "bold" in line)
    assert "<b>" not in text and [cell.strip() for cell in row.split("|")[2:6]] == ["3", "10", "3", "0.7222"]
    assert all("\\|" in line for line in text.splitlines() if line.startswith("|") and "foo" in line)
    page = to_html("run", [section])
    assert "<b>bold" not in page and "&lt;b&gt;bold" in page
    assert page.count("<img") == 1
    (both,) = selection_sections([run_of([], name, tmp_path) for name in ("x/run", "y/run")])
    assert [row[0] for row in both.tables[0].rows] == ["teacher, x/run", "teacher, y/run"]
    assert [plot.panels[0].title for plot in both.plots] == ["teacher, x/run", "teacher, y/run"]


def test_seeds_are_averaged_and_each_is_kept_in_the_data(tmp_path: Path):
    scores = {0: 0.1, 2: 0.3, 10: 0.5}
    for seed, low in scores.items():
        rows = ScoreRows(np.arange(4), np.array([0, 0, 0, seed % 3 % 2], np.int16), np.full(4, low, np.float32))
        shards = [ScoreShard("part 0", 0, lambda rows=rows: [rows], lambda: 4)]
        own = select(shards, ScoresInfo("m", "w", ["a", "b"], 1, views=10, examples=8), per_class=3, per_example=1)
        own.write(tmp_path / f"seed{seed}/teacher/select/selection.parquet")
        own.write(tmp_path / f"seed{seed}/weakly_supervised_teacher/select/selection.parquet")
        for teacher, right in (("teacher", 1), ("weakly_supervised_teacher", 2)):
            precision = [ClassPrecision(name, 0, 2, 3, 3, (right + seed) % 4) for name in ("a", "b")]
            write_text(
                tmp_path / f"seed{seed}/{teacher}/precision/precision.csv", csv_text([vars(one) for one in precision])
            )
    run = run_of([], folder=tmp_path)
    (section,), (right,) = selection_sections([run]), precision_sections([run])
    groups = ["teacher", "weakly supervised teacher"]
    assert [plot.panels[0].title for plot in section.plots] == groups
    assert [(row[0], row[1], row[2], row[-1]) for row in section.tables[0].rows] == [
        (name, "3", "4", "0.300 ± 0.200") for name in groups
    ]
    assert [row[:2] for row in section.tables[1].rows] == [(name, f"seed{seed}") for name in groups for seed in scores]
    candidates = next(line for line in section.plots[0].panels[0].lines if line.name == "candidates")
    counts = [4 - (seed % 3 % 2) for seed in scores]  # of the class "a"
    assert candidates.y[0] == pytest.approx(np.mean(counts)) and candidates.errors[0] == pytest.approx(
        np.std(counts, ddof=1)
    )
    assert len(section.data["selections"]) == 6 and len(section.data["selection_classes"]) == 12
    assert [row[2:4] for row in right.tables[0].rows] == [
        ("6", f"{np.mean(shares):.1f} ± {np.std(shares, ddof=1):.1f}")
        for shares in ([100 * ((first + seed) % 4) / 3 for seed in scores] for first in (1, 2))
    ]
    lines = right.plots[0].panels[0].lines
    assert [line.name for line in lines] == [name for name in groups for _ in range(4)]  # three seeds, and their mean
    assert len(right.data["precision"]) == 6 and len(right.data["precision_classes"]) == 12
    empty = [text for text in section.warnings if "'b'" in text or "candidates: b" in text]
    assert empty and all("seed0, seed2" in text or "seed10" in text for text in empty)


def test_empty_classes_and_those_that_the_teacher_does_not_know_come_first(tmp_path: Path):
    classes = [ClassAccuracy(name, 3, 1, 1, 0.0, None) for name in ("a", "b", "<c>", "d")]
    write_class_accuracy(tmp_path / "classes.csv", classes)
    write_results(tmp_path, [row("s", "semi_supervised", 0, 50.0, classes="classes.csv")])
    file = tmp_path / "seed3/teacher/select/selection.parquet"
    selection(["a", "b", "<c>"]).write(file)
    written = write_report([tmp_path], tmp_path)
    unknown, empty = written.document["caveats"]
    assert "only 3 of the 4 classes" in unknown and unknown.endswith("not 'd'")
    assert "most classes: 2 of 3 ('b', '<c>')" in empty
    for text in (written.text, (tmp_path / "results.md").read_text()):
        assert "only 3 of the 4 classes" in "\n".join(text.splitlines()[:8])
        assert text.index("most classes: 2 of 3") < text.index("| student")
    page = (tmp_path / "report.html").read_text()
    assert page.index("&lt;c&gt;") < page.index("<table")
    selection(["a"]).write(file)
    write_class_accuracy(tmp_path / "classes.csv", classes[:1])
    assert write_report([tmp_path], tmp_path).document["caveats"] == []
    assert "most classes" not in (tmp_path / "report.html").read_text()


def test_a_selection_of_another_version_costs_only_its_own_section(tmp_path: Path):
    file = tmp_path / "seed0/teacher/select/selection.parquet"
    selection(["a"]).write(file)
    metadata = {"vidsemi": json.dumps({"format": 1, "policy": "balanced_ranked"})}
    pq.write_table(pq.read_table(file).replace_schema_metadata(metadata), file)
    (section,) = selection_sections([run_of([], folder=tmp_path)])
    assert "format 1" in section.warnings[0]
    assert not section.plots and not section.tables
    assert "format 1" in to_markdown([section])


def test_plots_of_few_and_many_classes():
    few, many = selection(["a", "b"]).info, selection([f"class {i}" for i in range(60)]).info
    assert selection_plot([few]).svg == selection_plot([few]).svg
    counts, scores = selection_plot([few]).panels
    assert [text for _, text in counts.x.ticks] == ["a", "b"]
    lines = {line.name: [*line.y] for line in counts.lines}
    assert lines == {"selected": [3, 0], "candidates": [10, 0], "wanted": [3, 3]}
    assert math.isnan(scores.lines[0].y[1])
    assert b"<svg" in selection_plot([many]).svg
    assert b"<svg" in selection_plot([replace(few, last_score_per_class=[None, None])]).svg


def test_counts_that_differ_much_have_a_log_axis_with_a_place_for_none():
    info = replace(selection(["a", "b"]).info, candidates_per_class=[4000, 0])
    counts, _ = selection_plot([info]).panels
    assert counts.y.log and counts.y.ticks[0][1] == "0"
    candidates = next(line for line in counts.lines if line.name == "candidates")
    assert [*candidates.y] == [4000, counts.y.ticks[0][0]]
