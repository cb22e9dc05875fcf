"""The sections of selections: table, plot and warnings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.helpers.result_rows import row, run_of, write_results
from vidsemi.inference.accuracy import ClassAccuracy, write_class_accuracy
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
    assert section.title == "Selection of the teacher, seed3"
    assert any("15.0% of 20" in text for text in section.text)
    assert any("2 of 3 classes have no candidates" in text for text in section.warnings)
    text = to_markdown([section])
    row = next(line for line in text.splitlines() if line.startswith("|") and "bold" in line)
    assert "<b>" not in text and [cell.strip() for cell in row.split("|")[2:6]] == ["3", "10", "3", "0.7222"]
    assert all("\\|" in line for line in text.splitlines() if line.startswith("|") and "foo" in line)
    page = to_html("run", [section])
    assert "<b>bold" not in page and "&lt;b&gt;bold" in page
    assert page.count("<img") == 1
    both = selection_sections([run_of([], name, tmp_path) for name in ("x/run", "y/run")])
    assert [section.title for section in both] == [
        f"Selection of the teacher, {run} seed3" for run in ("x/run", "y/run")
    ]


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
    assert selection_plot(few).svg == selection_plot(few).svg
    counts, scores = selection_plot(few).panels
    assert [text for _, text in counts.x.ticks] == ["a", "b"]
    lines = {line.name: [*line.y] for line in counts.lines}
    assert lines == {"selected": [3, 0], "candidates": [10, 0], "wanted": [3, 3]}
    assert math.isnan(scores.lines[0].y[1])
    assert b"<svg" in selection_plot(many).svg
    assert b"<svg" in selection_plot(replace(few, last_score_per_class=[None, None])).svg


def test_counts_that_differ_much_have_a_log_axis_with_a_place_for_none():
    info = replace(selection(["a", "b"]).info, candidates_per_class=[4000, 0])
    counts, _ = selection_plot(info).panels
    assert counts.y.log and counts.y.ticks[0][1] == "0"
    candidates = next(line for line in counts.lines if line.name == "candidates")
    assert [*candidates.y] == [4000, counts.y.ticks[0][0]]
