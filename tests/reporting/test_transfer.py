"""The section of transfers: approaches side by side, notes, files, several runs, names that are not markup."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.helpers.result_rows import load_run, row, run_of, write_results
from vidsemi.io.errors import UserError
from vidsemi.pipeline.results import read_results
from vidsemi.reporting.results import load_runs
from vidsemi.reporting.transfer import transfer_sections
from vidsemi.reporting.write import write_report


def moved(student: str, approach: str, seed: int, top1: float, protocol: str = "fc_only", **more: object) -> dict:
    return row(student, approach, seed, top1, **{"transfer": "cub200", "protocol": protocol, **more})


ROWS = [
    row("a", "supervised", 0, 50.0),
    moved("a", "semi_supervised", 0, 80.0),
    moved("a", "semi_supervised", 1, 82.0),
    moved("a", "supervised", 0, 73.0, splits=[72.0, 74.0]),
    moved("a", "supervised", 0, 82.0, "full_ft"),
    moved("c", "weights", 0, 60.0, transfer="birds", splits=[59.0, 61.0], c=[1, 2], converged=False),
    moved("b", "weights", 0, 60.0, transfer="birds", read=7, total=9, train_read=3, train_total=4, converged=False),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_results(tmp_path / "run", ROWS)


def test_approaches_stand_side_by_side_in_the_papers_order(run: Path):
    (section,) = transfer_sections(load_run(run))
    (table,) = section.tables
    assert table.header == ("target", "student", "protocol", "supervised %", "semi_supervised %", "weights %", "seeds")
    assert table.rows == [
        ("cub200", "a", "full_ft", "82.0", "", "", "1"),
        ("cub200", "a", "fc_only", "73.0", "81.0 ± 1.4", "", "1–2"),
        ("birds", "c", "fc_only", "", "", "60.0", "1"),
        ("birds", "b", "fc_only", "", "", "60.0", "1"),
    ]


def test_notes_say_what_a_reader_must_know_of_the_numbers(run: Path):
    (section,) = transfer_sections(load_run(run))
    notes = "\n".join(section.text)
    for words in (
        "splits: birds (2), cub200 (2)",
        "standard deviation",
        "2 test examples could not be read",
        "1 training examples could not be read",
        "did not converge: c on birds (weights), b on birds (weights)",
    ):
        assert words in notes
    assert transfer_sections([run_of(ROWS[:1])]) == []


@pytest.mark.slow
def test_all_files_of_a_report_hold_the_same_results(run: Path):
    written = write_report([run], run, paper=True)
    document = json.loads((run / "report.json").read_text())
    assert [line["student"] for line in document["lines"][:1]] == ["a"] and document["lines"][0]["seeds"] == 1
    own = [line for line in document["transfer"] if line["run"]]
    assert len(own) == 5 and len(document["transfer"]) == 13  # Table 8 has eight numbers
    table = list(csv.DictReader(io.StringIO((run / "transfer.csv").read_text())))
    assert [float(line["top1_mean"]) for line in table] == [line["top1_mean"] for line in document["transfer"]]
    assert list(table[0]) == list(own[0])
    assert table[0]["run"] == "run" and table[-1]["run"] == ""
    for text in (written.text, (run / "results.md").read_text(), (run / "report.html").read_text()):
        assert "ResNet-50 (paper)" in text and "81.0 ± 1.4" in text
    assert "Table 8" not in write_report([run], run).text
    write_results(run, ROWS[-1:])  # not CUB-200
    assert "Table 8" not in write_report([run], run, paper=True).text


def test_a_directory_with_transfers_alone_has_no_other_table(run: Path):
    write_report([run], run)
    write_results(run, ROWS[1:])
    text = write_report([run], run).text
    assert "GMAC" not in text and "cub200" in text
    assert not list(run.glob("accuracy_*"))
    assert "GMAC" not in (run / "report.html").read_text()
    write_results(run, ROWS[:1])
    write_report([run], run)
    assert not (run / "transfer.csv").exists()
    assert ">Transfer</h2>" not in (run / "report.html").read_text()


def test_students_of_several_runs_carry_their_runs_names(run: Path, tmp_path: Path):
    other = write_results(tmp_path / "other", [moved("a", "supervised", 0, 74.0)])
    (section,) = transfer_sections(load_runs([run, other]))
    assert [cells[1] for cells in section.tables[0].rows] == ["run/a", "run/a", "other/a", "run/c", "run/b"]
    write_report([run, other], tmp_path / "both")
    assert "other/a" in (tmp_path / "both" / "results.md").read_text()


def test_different_test_sets_of_a_target_are_not_one_table(tmp_path: Path):
    rows = [moved("a", "supervised", seed, 70.0 + seed, test_set=test) for seed, test in enumerate("112")]
    rows += [moved("a", "supervised", 0, 50.0, transfer="birds", test_set="3")]
    other = write_results(tmp_path / "other", [moved("a", "supervised", 0, 99.0, test_set="2")])
    first, second = transfer_sections(load_runs([write_results(tmp_path / "run", rows), other]))
    assert [cells[:4] for cells in first.tables[0].rows] == [
        ("cub200", "run/a", "fc_only", "70.5 ± 0.7"),
        ("birds", "run/a", "fc_only", "50.0"),
    ]
    assert [cells[1:4] for cells in second.tables[0].rows] == [
        ("run/a", "fc_only", "72.0"),
        ("other/a", "fc_only", "99.0"),
    ]
    for section in (first, second):
        assert any("different test sets" in note and note.endswith("cub200.") for note in section.text)


def test_names_are_neither_markup_nor_formulas(run: Path):
    write_results(run, [moved("<b>x</b>", "supervised", 0, 1.0, transfer="=1+1")])
    write_report([run], run)
    page = (run / "report.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;x" in page
    assert "'=1+1" in (run / "transfer.csv").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"transfer": 3},
        {"protocol": None},
        {"protocol": "linear"},
        {"splits": 3},
        {"splits": ["3"]},
        {"train_read": "3"},
        {"train_total": None},
    ],
)
@pytest.mark.slow
def test_invalid_rows_are_refused(run: Path, wrong: dict):
    write_results(run, [{**ROWS[1], **wrong}])
    with pytest.raises(UserError, match=r"results\.json"):
        read_results(run)
