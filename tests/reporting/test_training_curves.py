"""Training curves: which training runs, in which order, and what their logs say."""

import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers.result_rows import row, run_of, write_results
from vidsemi.reporting.render import to_markdown
from vidsemi.reporting.section import Section
from vidsemi.reporting.training_curves import (
    MOST_ROWS,
    LoggedStep,
    TrainingRun,
    curve_sections,
    curves_plot,
    find_training_runs,
    thin_out,
)
from vidsemi.reporting.write import write_report


def sections_of(**runs: Path) -> list[Section]:
    return curve_sections([run_of([], name, folder) for name, folder in runs.items()])


def write_log(folder: Path, losses: list[float], time: str = "00", **more: float) -> None:
    """The log of a training run that started at second `time` and took steps of 10 examples."""
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
    write_log(folder / "seed10/small/semi_supervised/finetune", [], "04")  # has just started
    return write_results(folder, [row("small", "semi_supervised", 2, 50)])


def test_training_runs_keep_the_order_in_which_they_started_seeds_together(run: Path):
    write_log(run / "seed10/all/supervised/train", [1.0], "05")
    found = find_training_runs(run)
    assert [training.name for training in found] == [
        "teacher/train", "small/semi_supervised/pretrain", "small/semi_supervised/finetune", "all/supervised/train",
    ]  # fmt: skip
    assert [sorted(training.logs) for training in found] == [["seed10", "seed2"], ["seed10", "seed2"], ["seed2"],
                                                             ["seed10"]]  # fmt: skip
    assert [step.examples for step in found[1].logs["seed2"]] == [10, 20, 30]


def test_the_table_shows_the_last_steps(run: Path):
    (section,) = sections_of(run=run)
    assert section.title == "Training curves"
    assert section.tables[0].rows == [
        ("teacher/train", "2", "20", "2.000", "50.0", "", "25%", "1,234.5"),
        ("small/semi_supervised/pretrain", "2", "20", "3.000", "50.0", "", "25%", "1,234.5"),  # 30 and 10 examples
        ("small/semi_supervised/finetune", "1", "10", "1.000", "50.0", "", "25%", "1,234.5"),
    ]


def test_training_runs_that_reading_limits_are_listed_with_what_to_do(run: Path):
    for seed, waited in (("seed2", 0.4), ("seed10", 0.6)):
        event = {"event": "reading_limit", "examples": 10, "waited": waited, "seconds": 130.0, "advice": "do <this>"}
        with open(run / seed / "teacher/train/train.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
    (section,) = sections_of(run=run)
    assert section.tables[0].rows == [("teacher/train", "60%", "do <this>")]
    assert "do <this>" not in to_markdown([section])  # which is the same for the same results


@pytest.mark.slow
def test_reports_show_the_curves_in_all_their_files(run: Path):
    write_report([run], run)
    page, text = (run / "report.html").read_text(), (run / "results.md").read_text()
    assert ">Training curves</h2>" in page
    assert page.count("<img") == 2 and "<td>small/semi_<wbr>supervised/pretrain</td>" in page
    assert "## Training curves\n\n![Training curves](training_curves.svg)\n" in text
    assert "1,234.5" not in text  # results.md is the same for the same results
    ElementTree.fromstring((run / "training_curves.svg").read_bytes())
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    write_report([run], run)
    assert before == {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}


@pytest.mark.slow
def test_a_run_without_logs_shows_nothing(run: Path):
    write_report([run], run)
    shutil.rmtree(run / "seed2")
    shutil.rmtree(run / "seed10")
    (run / "seed2/teacher/train").mkdir(parents=True)
    (run / "seed2/teacher/train/train.jsonl").write_text("")
    assert sections_of(run=run) == []
    write_report([run], run)
    assert not list(run.glob("training_curves*"))
    assert "urves" not in (run / "report.html").read_text() + (run / "results.md").read_text()


@pytest.mark.slow
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
    names = [section.plots[0].name for section in sections_of(**{"a/b": run, "a_b": run})]
    assert names == ["training_curves_a_b_1", "training_curves_a_b_2"]


def test_logs_that_are_torn_or_strange_are_shown_as_far_as_they_go(tmp_path: Path):
    folder = tmp_path / "seed0/teacher/train"
    folder.mkdir(parents=True)
    lines = [
        '{"examples": 10, "loss": 4.0, "learning_rate": 0.5, "waited": 0.0}',
        '{"examples": 30, "loss": 9.0, "learning_rate": 0.5, "waited": 0.0}',
        '{"examples": 20, "loss": NaN, "learning_rate": 0.5, "waited": 0.0}',
        '{"examples": 30, "loss": 2.0, "learning_rate": 0.5, "waited": 0.0}',
        '{"examples": "many", "loss": 2.0}',
        '{"examples": 1e999, "loss": 2.0}',
        '{"event": "step", "examples": 40, "loss": 1' + "0" * 400 + ', "accuracy": null}',
        '{"event": "step", "exam',
    ]
    (folder / "train.jsonl").write_text("\n".join(lines))
    (training,) = find_training_runs(tmp_path)
    steps = training.logs["seed0"]
    assert [step.examples for step in steps] == [10, 20, 30, 40]
    assert [step.learning_rate for step in steps[:3]] == [0.5] * 3
    assert [step.loss for step in steps] == [
        4.0,
        pytest.approx(math.nan, nan_ok=True),
        2.0,
        pytest.approx(math.nan, nan_ok=True),
    ]
    (section,) = sections_of(run=tmp_path)
    assert section.tables[0].rows == [("teacher/train", "1", "40", "", "", "", "", "")]
    assert b"<svg" in section.plots[0].svg


def test_a_log_that_is_a_device_stops_nothing(run: Path):
    log = run / "seed2/teacher/train/train.jsonl"
    log.unlink()
    log.symlink_to("/dev/zero")
    assert list(find_training_runs(run)[0].logs) == ["seed10"]


@pytest.mark.slow
def test_names_are_texts_everywhere(run: Path):
    write_log(run / "seed2/<b>&$\\frac$/supervised/train", [1.0], "05")
    write_report([run], run)
    page = (run / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;$\\frac$/supervised/train" in page
    ElementTree.fromstring((run / "training_curves.svg").read_bytes())
    sections = sections_of(**{"<i>": run, "b": run})
    assert [section.title for section in sections] == ["Training curves, <i>", "Training curves, b"]
    assert sections[0].plots[0].name == "training_curves__i_"


def test_the_plot_of_many_training_runs_shows_the_first_ones(tmp_path: Path):
    for number in range(MOST_ROWS + 2):
        write_log(tmp_path / f"seed0/student{number:02}/supervised/train", [1.0])
    (section,) = sections_of(run=tmp_path)
    (note,) = section.text
    assert "2 more training runs" in note
    rows = section.tables[0].rows
    assert len(rows) == MOST_ROWS + 2
    assert [panel.title for panel in section.plots[0].panels[::3]] == [cells[0] for cells in rows[:MOST_ROWS]]
    assert note in to_markdown([section])


@pytest.mark.parametrize("seeds", [1, 3, 7])
@pytest.mark.slow
def test_pictures_are_the_same_for_the_same_logs(seeds: int):
    logs = {f"seed{seed}": [LoggedStep(n, 0.1, 1 / (n + seed), 0.5) for n in range(1, 500)] for seed in range(seeds)}
    trainings = [TrainingRun("one", logs), TrainingRun("two", {"seed0": [LoggedStep(10)]})]
    plot = curves_plot(trainings, "curves", "file")
    assert plot.svg == curves_plot(trainings, "curves", "file").svg
    assert [*plot.legend] == ([f"seed{seed}" for seed in range(seeds)] if seeds > 1 else [])
    assert len(plot.panels) == 6


def test_thinning_keeps_the_ends_and_the_order():
    steps = [LoggedStep(n) for n in range(1000)]
    few = thin_out(steps, 120)
    assert len(few) == len({step.examples for step in few}) == 120
    assert (few[0], few[-1]) == (steps[0], steps[-1])
    assert few == sorted(few, key=lambda step: step.examples)
    assert thin_out(steps[:120], 120) == steps[:120]
