"""The files of a report: read back as other programs read them; measured speed; the paper's rows."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.csv
import pytest

from tests.helpers.result_rows import row, write_results
from vidsemi.config import Runtime
from vidsemi.reporting.write import write_report

CPU = Runtime(device="cpu", clips_per_forward=2)


def read_csv(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two students by two approaches, two seeds of one of them; no weights."""
    return write_results(
        tmp_path / "run",
        [
            row("teacher", "teacher", 0, 80.0, 9.0, frames=8, model="r2plus1d_34"),
            row("a", "supervised", 0, 50.0, 2.0, frames=8, model="r2plus1d_18", gmacs_per_video=30.0),
            row("a", "supervised", 1, 54.0, 2.0, frames=8, model="r2plus1d_18", gmacs_per_video=30.0),
            row("b", "supervised", 0, 40.0, 4.0, read=7, total=9),
        ],
    )


def test_csv_and_json_hold_the_same_lines(run: Path):
    document = write_report([run], run).document
    assert json.loads((run / "report.json").read_text()) == document
    teacher, a, b = read_csv(run / "results.csv")
    assert (a["run"], a["student"], a["approach"], a["source"]) == ("run", "a", "supervised", "this run")
    assert (a["seeds"], float(a["top1_mean"]), float(a["top1_std"])) == ("2", 52.0, pytest.approx(8**0.5))
    assert (b["top1_std"], b["model"], b["frames"], b["unread_videos"]) == ("", "", "", "2")
    assert (a["gmacs_per_video"], b["gmacs_per_video"]) == ("30.0", "40.0")  # as the row says; else 4 × 10 views
    assert [line["pareto_gmacs"] for line in (teacher, a, b)] == ["false", "true", "false"]
    assert document["speed"] is None
    assert "clips_per_second" not in a
    for text, value in zip((teacher, a, b), document["lines"], strict=True):
        assert list(text) == list(value)
        assert text["top5_mean"] == str(value["top5_mean"])


def test_csv_opens_in_other_programs_with_types(run: Path):
    write_report([run], run, paper=True)
    table = pyarrow.csv.read_csv(run / "results.csv")
    assert table.num_rows == 3 + 12
    types = {field.name: str(field.type) for field in table.schema}
    assert types["top1_std"] == types["gmacs_per_video"] == "double"
    assert types["seeds"] == types["parameters"] == "int64"
    assert types["pareto_gmacs"] == "bool"
    assert table["seeds"].null_count == 12
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT student FROM '{run}/results.csv' WHERE pareto_gmacs AND source = 'this run'")
    assert found.fetchall() == [("a",)]


def test_runs_on_different_test_sets_are_not_one_table(tmp_path: Path, run: Path):
    one = [row("a", "supervised", 0, 50.0, test_set="1" * 64, test_manifest="data/<b>.csv")]
    both = [
        write_results(tmp_path / "one", one),
        write_results(tmp_path / "two", [row("a", "supervised", 0, 90.0, test_set="2" * 64, test_manifest="t.csv")]),
    ]
    written = write_report(both, tmp_path / "both")
    page, text = (tmp_path / "both/report.html").read_text(), (tmp_path / "both/results.md").read_text()
    words = "2 different test sets and cannot be compared"
    for start in (written.text, text):
        assert words in "\n".join(start.splitlines()[:9]) and start.index(words) < start.index("| student")
    assert words in page and page.index(words) < page.index("<table") and "data/&lt;b&gt;.csv" in page
    assert [line.count("|") for line in text.splitlines() if "/a" in line and line.startswith("|")] == [10, 10]
    assert text.count("| student") == 2 and text.count("On the Pareto front of accuracy and multiply-adds") == 2
    lines = read_csv(tmp_path / "both/results.csv")
    assert [(line["test_set"][0], line["test_manifest"], line["pareto_gmacs"]) for line in lines] == [
        ("1", "data/<b>.csv", "true"),
        ("2", "t.csv", "true"),
    ]
    assert len(list((tmp_path / "both").glob("accuracy_flops_*.svg"))) == 2
    assert written.document["caveats"] == [next(one for one in written.document["caveats"] if words in one)]
    write_report(both[:1], tmp_path / "both")
    assert [file.name for file in sorted((tmp_path / "both").glob("accuracy_*"))] == [
        "accuracy_flops.png",
        "accuracy_flops.svg",
    ]
    assert "different test sets" not in (tmp_path / "both/results.md").read_text()


@pytest.mark.slow
def test_speed_is_measured_for_those_whose_weights_are_there(weights: Path, tmp_path: Path):
    folder = write_results(
        tmp_path / "run",
        [
            row("tiny", "supervised", 0, 50.0, weights="gone.pt"),
            row("tiny", "supervised", 1, 50.0, weights="tiny.pt"),  # one seed's weights are enough
            row("again", "supervised", 0, 60.0, weights="tiny.pt"),
            row("gone", "supervised", 0, 70.0, weights="gone.pt"),
            row("broken", "supervised", 0, 70.0, weights="broken.pt"),
            row("old", "supervised", 0, 70.0),
        ],
    )
    shutil.copy(weights, folder / "tiny.pt")
    (folder / "broken.pt").write_bytes(b"no checkpoint")
    written = write_report([folder], folder, runtime=CPU)
    lines = {line["student"]: line for line in read_csv(folder / "results.csv")}
    assert float(lines["tiny"]["clips_per_second"]) > 0
    assert lines["tiny"]["clips_per_second"] == lines["again"]["clips_per_second"]  # the same network, measured once
    assert lines["again"]["pareto_speed"] == "true" and lines["tiny"]["pareto_speed"] == "false"
    for name in ("gone", "broken", "old"):
        assert lines[name]["clips_per_second"] == lines[name]["pareto_speed"] == ""
        assert any(note.startswith(f"No speed of {name} (supervised): ") for note in written.document["notes"])
    assert not any("No speed of tiny" in note for note in written.document["notes"])
    assert written.document["speed"]["device"] == "cpu"
    assert written.document["speed"]["clips_per_pass"] == 2
    assert "2 clips per pass" in written.text
    header = next(line for line in written.text.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.strip("|").split("|")][-2:] == ["seeds", "clips / s"]
    for kind in ("svg", "png"):
        assert (folder / f"accuracy_speed.{kind}").stat().st_size > 500
    assert "(accuracy_speed.svg)" in (folder / "results.md").read_text()
    assert (folder / "report.html").read_text().count("<img") == 2


@pytest.mark.slow
def test_a_report_without_speed_leaves_nothing_of_an_earlier_one(weights: Path, tmp_path: Path):
    folder = write_results(weights.parent, [row("tiny", "supervised", 0, 50.0, weights=weights.name)])
    (folder / "accuracy_speed.pdf").write_bytes(b"somebody else's")
    before = write_report([folder], folder).text
    content = {name: (folder / name).read_bytes() for name in ("results.md", "results.csv", "report.html")}
    write_report([folder], folder, runtime=CPU)
    assert write_report([folder], folder).text == before
    assert content == {name: (folder / name).read_bytes() for name in content}
    assert [file.name for file in folder.glob("accuracy_speed*")] == ["accuracy_speed.pdf"]
    assert "clips / s" not in before and b"accuracy_speed" not in content["results.md"]


@pytest.mark.slow
def test_the_papers_rows_are_marked_everywhere(run: Path):
    written = write_report([run], run, paper=True)
    lines = [line for line in read_csv(run / "results.csv") if line["source"] != "this run"]
    assert {line["source"] for line in lines} == {"paper, Table 7"}
    assert len(lines) == 12
    for line in lines:
        for unknown in ("run", "seeds", "top1_std", "top5_std", "mean_class_top1_mean", "views", "unread_videos"):
            assert line[unknown] == "", unknown
    ours = [line for line in lines if line["approach"] == "semi_weakly_supervised"]  # as the paper's Table 7 prints
    assert [(line["model"], line["frames"], line["top1_mean"], line["top5_mean"]) for line in ours] == [
        ("r2plus1d_18", "8", "74.2", "91.3"),
        ("r2plus1d_18", "32", "76.7", "92.3"),
        ("r2plus1d_34", "8", "75.9", "92.0"),
    ]
    assert [(line["gmacs_per_view"], line["parameters"]) for line in ours] == [
        ("21.0", "33000000"),
        ("83.0", "33000000"),
        ("38.0", "64000000"),
    ]
    table = [text for text in written.text.splitlines() if text.startswith("|")]
    assert sum("(paper)" in text for text in table) == 12
    assert "(paper)" in (run / "report.html").read_text()
    assert "Kinetics-400" in written.text
    assert "paper" not in write_report([run], run).text
