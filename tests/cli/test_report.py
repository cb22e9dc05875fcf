"""`vidsemi report`: measured speed, the paper's rows, several runs."""

import json
from pathlib import Path

import pytest

from tests.helpers.result_rows import row, write_results
from vidsemi.cli import main as cli


@pytest.mark.slow
def test_it_measures_speed_unless_told_not_to(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_results(weights.parent, [row("tiny", "supervised", 0, 50.0, weights=weights.name)])
    command = ["report", str(folder), "--output", str(tmp_path / "r"), "--device", "cpu", "--json"]
    assert cli.main([*command, "--clips-per-forward", "1", "--paper"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lines"][0]["clips_per_second"] > 0
    assert document["results"][0]["student"] == "tiny"
    assert document["speed"]["clips_per_pass"] == 1
    assert document["lines"][-1]["source"] == "paper, Table 7"
    assert cli.main([*command, "--no-speed"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["speed"] is None and "clips_per_second" not in document["lines"][0]


def test_it_prints_the_table_and_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_results(tmp_path / "run", [row("a", "supervised", 0, 50.0)])
    assert cli.main(["report", str(folder), "--no-speed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| a ") for line in lines)
    assert lines[-1] == str(folder / "report.html")


@pytest.mark.parametrize("wrong", [["--device", "abacus"], ["--clips-per-forward", "0"]])
def test_wrong_options_of_speed_are_one_line(wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_results(tmp_path / "run", [row("a", "supervised", 0, 50.0)])
    assert cli.main(["report", str(folder), *wrong]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_several_runs_need_an_output_and_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seeds = [row("s", "supervised", seed, top1, 20.75) for seed, top1 in enumerate((50.0, 54.0))]
    a = write_results(tmp_path / "a", seeds)
    b = write_results(tmp_path / "b", [row("s", "supervised", 0, 60.0, 20.75)])
    output = ["--output", str(tmp_path / "r")]
    assert cli.main(["report", str(a), str(b), "--no-speed", *output]) == 0
    table = capsys.readouterr().out
    assert "| a/s     | supervised | 52.0 ± 2.8 |" in table  # sample deviation of 50 and 54: sqrt(8)
    assert "| b/s     | supervised |       60.0 |" in table
    assert cli.main(["report", str(a), str(b)]) == 2
    assert "[report.missing_output]" in capsys.readouterr().err
    assert cli.main(["report", str(a), str(a / ".." / "a"), *output]) == 2
    assert "[report.repeated_run]" in capsys.readouterr().err


def test_a_folder_without_valid_results_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["report", str(tmp_path)]) == 2
    (tmp_path / "results.json").write_text('[{"student": 1}]')
    assert cli.main(["report", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("results.json" in line for line in lines)
