"""Accuracy by class frequency: the groups of classes, the accuracy in them, and how a report shows it."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.result_rows import load_run, row, write_results
from vidsemi.config.load import load_config
from vidsemi.inference.accuracy import ClassAccuracy, read_class_accuracy, write_class_accuracy
from vidsemi.pipeline import run as pipeline
from vidsemi.reporting.accuracy_by_class import frequency_groups, split_by_frequency
from vidsemi.reporting.class_frequency import frequency_sections
from vidsemi.reporting.render import to_markdown
from vidsemi.reporting.write import write_report

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=60)
LONG_TAIL = [50, 40, 20, 12, 12, 5, 2]  # head 50 and 40, middle 20, 12 and 12, tail 5 and 2


@given(COUNTS, st.integers(1, 8))
def test_a_class_is_in_the_part_where_its_equals_have_their_middle(labeled: list[int], parts: int):
    found = split_by_frequency(labeled, parts)
    expected: dict[int, list[int]] = {}
    for index, own in enumerate(labeled):
        above, equal = sum(other > own for other in labeled), labeled.count(own)
        place = (above + Fraction(equal, 2)) / len(labeled)  # in 0 … 1
        expected.setdefault(int(place * parts), []).append(index)
    assert [sorted(part) for part in found] == [expected[part] for part in sorted(expected)]


@given(COUNTS)
def test_groups_go_from_the_most_frequent_down_and_leave_nobody_out(labeled: list[int]):
    groups = frequency_groups(labeled)
    if len(set(labeled)) == 1:
        assert groups == []
        return
    assert [group.name for group in groups] in (["head", "tail"], ["head", "middle", "tail"])
    assert sorted(index for group in groups for index in group.classes) == list(range(len(labeled)))
    for group in groups:
        own = [labeled[index] for index in group.classes]
        assert (group.least, group.most) == (min(own), max(own))
    for more, fewer in pairwise(groups):
        assert more.least > fewer.most
    if len(set(labeled)) == len(labeled):
        sizes = [len(group.classes) for group in groups]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("labeled", "expected"),
    [
        ([7], []),
        ([7, 7, 7], []),
        ([1, 9], [("head", [1]), ("tail", [0])]),
        ([5, 9, 7], [("head", [1]), ("middle", [2]), ("tail", [0])]),
        ([3, 9, 9, 3], [("head", [1, 2]), ("tail", [0, 3])]),
        ([9, 9, 9, 9, 9, 1], [("head", [0, 1, 2, 3, 4]), ("tail", [5])]),
        (LONG_TAIL, [("head", [0, 1]), ("middle", [2, 3, 4]), ("tail", [5, 6])]),
    ],
)
def test_groups_of_small_sets(labeled: list[int], expected: list[tuple[str, list[int]]]):
    assert [(group.name, sorted(group.classes)) for group in frequency_groups(labeled)] == expected


def result_of(
    run: Path, student: str, approach: str, seed: int, labeled: Sequence[int], top1: Sequence[float | None]
) -> dict:
    """A row of results.json with its file; a class is called after its number, a class without a top-1 has no test."""
    rows = [
        ClassAccuracy(f"class {i}", count, 0 if value is None else 10, 0, value, value)
        for i, (count, value) in enumerate(zip(labeled, top1, strict=True))
    ]
    file = f"seed{seed}/{student.strip('<>=/')}/{approach}/evaluate/classes.csv"
    write_class_accuracy(run / file, rows)
    known = [value for value in top1 if value is not None]
    return row(student, approach, seed, mean(known), classes=file)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A student by two approaches: seeds 0 and 1, and 2 of the second alone; a teacher. The test set has no class 5."""
    folder = tmp_path / "run"
    figures = {
        ("teacher", "teacher", 0): [90, 80, 70, 60, 50, None, 40],
        ("<b>", "supervised", 0): [80, 60, 50, 40, 30, None, 10],
        ("<b>", "supervised", 1): [90, 60, 50, 40, 30, None, 20],
        ("<b>", "semi_supervised", 0): [80, 64, 56, 46, 36, None, 30],
        ("<b>", "semi_supervised", 1): [90, 64, 56, 46, 36, None, 30],
        ("<b>", "semi_supervised", 2): [10, 10, 10, 10, 10, None, 10],
    }
    return write_results(folder, [result_of(folder, *who, LONG_TAIL, top1) for who, top1 in figures.items()])


def test_a_line_is_the_mean_over_seeds_and_its_gain_is_of_the_same_seeds(run: Path):
    (section,) = frequency_sections(load_run(run))
    head, middle, tail, *_ = section.text
    assert head.startswith("head: 2 classes with 40–50 labeled")
    assert middle.startswith("middle: 3 classes with 12–20 labeled")
    assert tail.startswith("tail: 2 classes with 2–5 labeled") and "1 of them without test examples" in tail
    assert "Gain: " in section.text[-1]
    (table,) = section.tables
    assert table.header[2:5] == ["head %", "middle %", "tail %"]
    assert table.header[5:] == ["head gain", "middle gain", "tail gain", "seeds"]
    assert [row[:2] for row in table.rows] == [
        ("teacher", "teacher"),
        ("<b>", "supervised"),
        ("<b>", "semi_supervised"),
    ]
    assert table.rows[0][2:] == ("85.0", "60.0", "40.0", "", "", "", "1")
    assert table.rows[1][2:] == ("72.5 ± 3.5", "40.0 ± 0.0", "15.0 ± 7.1", "", "", "", "2")
    assert table.rows[2][5:] == ("+2.0 ± 0.0", "+6.0 ± 0.0", "+15.0 ± 7.1", "3")
    records = section.data["class_frequency"]
    head = records[-3]
    assert (head["approach"], head["group"], head["seeds"], head["least_labeled"]) == ("semi_supervised", "head", 3, 40)
    assert head["top1_mean"] == pytest.approx(mean([72, 77, 10]))
    assert head["top1_std"] == pytest.approx(stdev([72, 77, 10]))
    tail = records[-1]
    assert (tail["classes"], tail["tested_classes"], tail["gain_mean"]) == (2, 1, 15)


def test_groups_weighed_by_their_classes_give_the_class_mean(tmp_path: Path):
    top1 = [float(7 * i % 11) for i in range(len(LONG_TAIL))]
    folder = tmp_path / "run"
    (result,) = rows = [result_of(folder, "a", "semi_supervised", 0, LONG_TAIL, top1)]
    (section,) = frequency_sections(load_run(write_results(folder, rows)))
    whole = sum(record["top1_mean"] * record["classes"] for record in section.data["class_frequency"]) / len(LONG_TAIL)
    assert whole == pytest.approx(result["mean_class_top1"])
    assert "gain" not in " ".join([*section.tables[0].header, *section.text]).lower()  # over nothing
    assert all(record["gain_mean"] is None for record in section.data["class_frequency"])


def test_a_group_that_the_test_set_does_not_have_is_empty(tmp_path: Path):
    folder = tmp_path / "run"
    rows = [result_of(folder, "a", "supervised", 0, [9, 5, 1], [50.0, 40.0, None])]
    write_report([write_results(folder, rows)], folder)
    (section,) = frequency_sections(load_run(folder))
    assert section.tables[0].rows == [("a", "supervised", "50.0", "40.0", "", "1")]
    assert json.loads((folder / "report.json").read_text())["class_frequency"][-1]["top1_mean"] is None


def test_a_balanced_labeled_set_has_no_rare_classes(tmp_path: Path):
    folder = tmp_path / "run"
    write_results(folder, [result_of(folder, "a", "supervised", 0, [3, 3], [50.0, 40.0])])
    write_report([folder], folder)
    (section,) = frequency_sections(load_run(folder))
    (note,) = section.text
    assert note.startswith("All 2 classes have the same number of labeled examples")
    assert note in (folder / "results.md").read_text()
    assert note in (folder / "report.html").read_text()
    assert not list(folder.glob("class_frequency*"))


def test_what_is_not_known_is_named_and_costs_nothing_else(run: Path):
    rows = json.loads((run / "results.json").read_text())
    (run / rows[0]["classes"]).unlink()
    (run / rows[1]["classes"]).write_text("nothing\n")
    del rows[2]["classes"]
    rows += [result_of(run, "other", "supervised", 0, [8] * 7, [1.0] * 7)]
    rows += [result_of(run, "none", "supervised", 0, [None] * 7, [1.0] * 7)]
    rows += [row(f"old {i}", "supervised", 0, 50.0) for i in range(3)]
    (section,) = frequency_sections(load_run(write_results(run, rows)))
    assert [cells[:2] for cells in section.tables[0].rows] == [("<b>", "semi_supervised")]
    note = section.text[-1]
    assert "No accuracy by class of teacher (teacher, seed 0): " in note
    for text in (
        f"{rows[0]['classes']} cannot be read",
        f"{rows[1]['classes']} must be",
        "<b> (supervised, seed 1): results.json does not name",
        "other (supervised, seed 0): evaluated with another labeled set or test set",
        "none (supervised, seed 0): seed0/none/supervised/evaluate/classes.csv has no numbers of labeled examples",
        "; and 3 more",
    ):
        assert text in note, text
    (section,) = frequency_sections(load_run(write_results(run, rows[:2])))
    assert len(section.text) == 1 and not section.tables and not section.plots
    assert frequency_sections(load_run(write_results(run, rows[-3:]))) == []  # of a run without labels
    assert frequency_sections(load_run(write_results(run, []))) == []


def test_the_report_has_it_in_all_its_formats(run: Path):
    document = write_report([run], run).document
    assert json.loads((run / "report.json").read_text()) == document
    records = document["class_frequency"]
    assert [(line["approach"], line["group"]) for line in records[:4]] == [
        ("teacher", "head"),
        ("teacher", "middle"),
        ("teacher", "tail"),
        ("supervised", "head"),
    ]
    table = pyarrow.csv.read_csv(run / "class_frequency.csv")
    assert table.to_pylist() == [{**line, "run": "run"} for line in records]
    page = (run / "report.html").read_text()
    assert ">Accuracy by class frequency</h2>" in page
    assert "<b>" not in page and "<td>&lt;b&gt;</td>" in page
    assert page.count("<img") == 2
    text = (run / "results.md").read_text()
    assert "- tail: 2 classes" in text and "| +15.0 ± 7.1 |" in text
    assert "![Accuracy by class frequency](class_frequency.svg)" in text
    assert b"<svg" in (run / "class_frequency.svg").read_bytes()


def test_a_name_is_no_formula(tmp_path: Path):
    folder = tmp_path / "run"
    write_results(folder, [result_of(folder, "=1+1", "supervised", 0, [9, 5, 1], [50.0, 40.0, 30.0])])
    write_report([folder], folder)
    with open(folder / "class_frequency.csv", newline="") as stream:
        assert {line["student"] for line in csv.DictReader(stream)} == {"'=1+1"}


@pytest.mark.slow
def test_several_runs_have_a_section_and_a_picture_each(run: Path, tmp_path: Path):
    other, output = tmp_path / "other run", tmp_path / "both"
    shutil.copytree(run, other)
    write_report([run, other], output)
    assert {file.name for file in output.glob("class_frequency*")} == {
        "class_frequency.csv",
        "class_frequency_run.svg",
        "class_frequency_other_run.svg",
    }
    text = (output / "results.md").read_text()
    assert "## Accuracy by class frequency, run\n" in text
    assert "## Accuracy by class frequency, other run\n" in text
    with open(output / "class_frequency.csv", newline="") as stream:
        assert [line["run"] for line in csv.DictReader(stream)] == ["run"] * 9 + ["other run"] * 9
    write_report([run], output)  # one run less
    assert {file.name for file in output.glob("class_frequency*")} == {"class_frequency.csv", "class_frequency.svg"}
    write_results(run, [row("a", "supervised", 0, 50.0)])
    write_report([run], output)
    assert not list(output.glob("class_frequency*"))


def test_pictures_are_the_same_for_the_same_results(run: Path):
    assert frequency_sections(load_run(run)) == frequency_sections(load_run(run))


@pytest.mark.slow
@pytest.mark.parametrize("labeled", [[4, 1], [100, 90, 80], [0, 5, 9], [3000 - i for i in range(90)], LONG_TAIL])
@pytest.mark.parametrize("students", [["teacher"], ["teacher", "a", "b", "c"], [f"student {i}" for i in range(9)]])
def test_plots_of_all_kinds_of_labeled_sets(labeled: list[int], students: list[str], tmp_path: Path):
    rows = []
    for student in students:
        approach = "teacher" if student == "teacher" else "of tomorrow"
        rows.append(result_of(tmp_path, student, approach, 0, labeled, [float(i % 100) for i in range(len(labeled))]))
    (section,) = frequency_sections(load_run(write_results(tmp_path, rows)))
    assert b"<svg" in section.plots[0].svg and b"mathdefault" not in section.plots[0].svg
    assert any("leaves out 3 more students" in note for note in section.text) == (len(students) == 9)
    assert "## Accuracy by class frequency" in to_markdown([section])


@pytest.mark.slow
def test_a_run_with_a_long_tail_ends_in_a_table_of_it(tiny_config: Callable[..., Path], shapes: Path, tmp_path: Path):
    """One example of the first four classes, three of the others; the second run finds all of it done."""
    with open(shapes / "labeled.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = sorted({line["label"] for line in rows})
    few = {name: [line for line in rows if line["label"] == name][: 1 if i < 4 else 3] for i, name in enumerate(names)}
    lines = [f"{shapes}/{line['path']},{name}\n" for name, own in few.items() for line in own]
    (tmp_path / "tail.csv").write_text("path,label\n" + "".join(lines))
    overrides = [f"data.labeled={tmp_path}/tail.csv", "approaches=[supervised]"]
    config = load_config(str(tiny_config()), overrides)
    results = pipeline.run(config)
    output = Path(config.output)
    assert [line["classes"] for line in results] == ["seed0/small/supervised/evaluate/classes.csv"]
    for line in results:
        classes = read_class_accuracy(output / line["classes"])
        assert [(own.label, own.labeled, own.test) for own in classes] == [(name, len(few[name]), 2) for name in names]
        assert mean(own.top1 for own in classes) == pytest.approx(line["mean_class_top1"])
    (section,) = frequency_sections(load_run(output))
    assert [note.split(" labeled")[0] for note in section.text[:2]] == [
        "head: 4 classes with 3",
        "tail: 4 classes with 1",
    ]
    assert pipeline.run(config) == results
