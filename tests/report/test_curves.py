"""Training curves in a report: which trainings, in which order, as far as their logs tell."""

import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers.result_rows import row
from vidsemi.report import curves
from vidsemi.report.curve_plot import Step, Training, plot_curves, thinned
from vidsemi.report.curves import MOST, curve_sections, curves_markdown, find_trainings
from vidsemi.report.write import write_report


def write_log(folder: Path, losses: list[float], time: str = "00", **more: float) -> None:
    """The log of a training that began at second `time` and took steps of 10 examples."""
    when = f"2026-01-01T00:00:{time}Z"
    events = [{"event": "begin", "examples": 0, "time": when}]
    for step, loss in enumerate(losses, start=1):
        values = {"loss": loss, "learning_rate": 0.1, "accuracy": 0.5, "waited": 0.25, "clips_per_second": 1234.5}
        events.append({"event": "step", "examples": 10 * step, "time": when, **values, **more})
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A teacher and a student of two seeds; the second seed's student was killed early."""
    folder = tmp_path / "run"
    for seed in ("seed2", "seed10"):
        write_log(folder / seed / "teacher/train", [3.0, 2.0], "01")
        write_log(folder / seed / "small/semi_supervised/pretrain", [4.0, 3.0, 2.0] if seed == "seed2" else [4.0], "02")
    write_log(folder / "seed2/small/semi_supervised/finetune", [1.0], "03")
    write_log(folder / "seed10/small/semi_supervised/finetune", [], "04")  # has just begun
    (folder / "results.json").write_text(json.dumps([row("small", "semi_supervised", 2, 50)]), encoding="utf-8")
    return folder


def test_trainings_come_in_the_order_in_which_they_began_seeds_together(run: Path):
    write_log(run / "seed10/all/supervised/train", [1.0], "05")
    found = find_trainings(run)
    assert [training.name for training in found] == [
        "teacher/train", "small/semi_supervised/pretrain", "small/semi_supervised/finetune", "all/supervised/train",
    ]  # fmt: skip
    assert [sorted(training.logs) for training in found] == [["seed10", "seed2"], ["seed10", "seed2"], ["seed2"],
                                                             ["seed10"]]  # fmt: skip
    assert [step.examples for step in found[1].logs["seed2"]] == [10, 20, 30]


def test_the_table_tells_how_far_they_got(run: Path):
    (section,) = curve_sections({"run": run})
    assert section.title == "Training curves"
    assert section.rows == [
        ("teacher/train", "2", "20", "2.000", "50.0", "25%", "1,234.5"),
        ("small/semi_supervised/pretrain", "2", "20", "3.000", "50.0", "25%", "1,234.5"),  # 30 and 10 examples
        ("small/semi_supervised/finetune", "1", "10", "1.000", "50.0", "25%", "1,234.5"),
    ]


def test_reports_show_the_curves_in_all_their_files(run: Path):
    write_report([run], run)
    page, text = (run / "report.html").read_text(), (run / "results.md").read_text()
    assert "<details><summary>Training curves</summary>" in page
    assert page.count("<img") == 2 and "<td>small/semi_supervised/pretrain</td>" in page
    assert "## Training curves\n\n![Training curves](training_curves.svg)\n" in text
    assert "1,234.5" not in text  # a run writes results.md, and that is the same for the same results
    ElementTree.fromstring((run / "training_curves.svg").read_bytes())
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    write_report([run], run)
    assert before == {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}


def test_a_run_without_logs_shows_nothing(run: Path):
    write_report([run], run)
    shutil.rmtree(run / "seed2")
    shutil.rmtree(run / "seed10")
    (run / "seed2/teacher/train").mkdir(parents=True)
    (run / "seed2/teacher/train/train.jsonl").write_text("")
    assert curve_sections({"run": run}) == []
    write_report([run], run)
    assert not list(run.glob("training_curves*"))
    assert "urves" not in (run / "report.html").read_text() + (run / "results.md").read_text()


def test_several_runs_have_a_picture_each(run: Path, tmp_path: Path):
    other, output = tmp_path / "other (new)", tmp_path / "both"
    shutil.copytree(run, other)
    write_report([run, other], output)
    assert {file.name for file in output.glob("*curves*")} == {
        "training_curves_run.svg", "training_curves_other_new_.svg",
    }  # fmt: skip
    text = (output / "results.md").read_text()
    assert "![Training curves, other (new)](training_curves_other_new_.svg)" in text
    write_report([run], output)
    assert [file.name for file in output.glob("*curves*")] == ["training_curves.svg"]
    names = [section.picture.name for section in curve_sections({"a/b": run, "a_b": run})]
    assert names == ["training_curves_a_b_1", "training_curves_a_b_2"]


def test_logs_that_are_torn_or_old_or_strange_are_shown_as_far_as_they_go(tmp_path: Path):
    folder = tmp_path / "seed0/teacher/train"
    folder.mkdir(parents=True)
    lines = [
        '{"examples": 10, "loss": 4.0, "rate": 0.5, "waited": 0.0}',  # of an older version, killed and gone on
        '{"examples": 30, "loss": 9.0, "rate": 0.5, "waited": 0.0}',
        '{"examples": 20, "loss": NaN, "rate": 0.5, "waited": 0.0}',
        '{"examples": 30, "loss": 2.0, "rate": 0.5, "waited": 0.0}',
        '{"examples": "many", "loss": 2.0}',
        '{"examples": 1e999, "loss": 2.0}',
        '{"event": "step", "examples": 40, "loss": 1' + "0" * 400 + ', "accuracy": null}',
        '{"event": "step", "exam',
    ]
    (folder / "train.jsonl").write_text("\n".join(lines))
    (training,) = find_trainings(tmp_path)
    steps = training.logs["seed0"]
    assert [step.examples for step in steps] == [10, 20, 30, 40]
    assert [step.learning_rate for step in steps[:3]] == [0.5] * 3
    assert [step.loss for step in steps] == [
        4.0,
        pytest.approx(math.nan, nan_ok=True),
        2.0,
        pytest.approx(math.nan, nan_ok=True),
    ]
    (section,) = curve_sections({"run": tmp_path})
    assert section.rows == [("teacher/train", "1", "40", "", "", "", "")]
    assert b"not in the log" in section.picture.svg  # as a comment beside its letters


def test_a_log_that_is_a_device_stops_nothing(run: Path):
    log = run / "seed2/teacher/train/train.jsonl"
    log.unlink()
    log.symlink_to("/dev/zero")
    assert list(find_trainings(run)[0].logs) == ["seed10"]


def test_names_are_texts_everywhere(run: Path):
    write_log(run / "seed2/<b>&$\\frac$/supervised/train", [1.0], "05")
    write_report([run], run)
    page = (run / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;$\\frac$/supervised/train" in page
    ElementTree.fromstring((run / "training_curves.svg").read_bytes())
    sections = curve_sections({"<i>": run, "b": run})
    assert [section.title for section in sections] == ["Training curves, <i>", "Training curves, b"]
    assert sections[0].picture.name == "training_curves__i_"


def test_many_trainings_make_a_picture_of_the_first_and_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(MOST + 2):
        write_log(tmp_path / f"seed0/student{number:02}/supervised/train", [1.0])
    drawn: list[str] = []

    def draw(trainings: list[Training], format: str) -> bytes:
        drawn.extend(training.name for training in trainings)
        return b"<svg/>"

    monkeypatch.setattr(curves, "plot_curves", draw)
    (section,) = curve_sections({"run": tmp_path})
    assert section.note == "2 more trainings are in the table only."
    assert len(section.rows) == MOST + 2
    assert drawn == [cells[0] for cells in section.rows[:MOST]]
    assert section.note in curves_markdown([section])


@pytest.mark.parametrize("seeds", [1, 3, 7])
def test_pictures_are_the_same_for_the_same_logs(seeds: int):
    logs = {f"seed{seed}": [Step(n, 0.1, 1 / (n + seed), 0.5) for n in range(1, 500)] for seed in range(seeds)}
    trainings = [Training("one", logs), Training("two", {"seed0": [Step(10)]})]
    picture = plot_curves(trainings, "svg")
    assert picture == plot_curves(trainings, "svg")
    assert (b"<!-- seed0 -->" in picture) == (seeds == 3)  # one needs no legend, and seven none that helps


def test_thinning_keeps_the_ends_and_the_order():
    steps = [Step(n) for n in range(1000)]
    few = thinned(steps, 120)
    assert len(few) == len({step.examples for step in few}) == 120
    assert (few[0], few[-1]) == (steps[0], steps[-1])
    assert few == sorted(few, key=lambda step: step.examples)
    assert thinned(steps[:120], 120) == steps[:120]
