"""Precision of pseudo-labels where a study knows the true labels: right counts, in a run and in its report."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.precision import measure_precision, read_precision
from vidsemi.reporting.write import write_report
from vidsemi.selection.result import Selection

LoadConfig = Callable[..., Config]


def true_labels(shapes: Path) -> dict[str, str]:
    with open(shapes / "unlabeled_labels.csv", newline="") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}


def write_labels(file: Path, labels: dict[str, str]) -> Manifest:
    file.write_text("".join(["path,label\n", *(f"{path},{label}\n" for path, label in labels.items())]))
    return Manifest.read(file)


def by_hand(selection: Selection, paths: list[str], labels: dict[str, str]) -> tuple[int, int]:
    """Right pseudo-labels, and those whose true label is known."""
    rows = [
        (selection.classes[label], labels.get(paths[example_id]))
        for label, example_id in zip(selection.label, selection.example_id, strict=True)
    ]
    return sum(own == true for own, true in rows), sum(true is not None for _, true in rows)


@pytest.mark.slow
def test_a_run_with_true_labels_trains_the_same_and_reports_precision(
    finished_run: Path, shapes: Path, load: LoadConfig
):
    config = load(f"data.unlabeled_labels={shapes}/unlabeled_labels.csv", "seeds=[0]")
    config = config.model_copy(update={"output": str(Path(config.output).with_name("studied"))})
    pipeline.run(config, until="select")
    output = Path(config.output)
    for name in ("teacher/train/weights.pt", "teacher/select/selection.parquet"):
        assert (output / "seed0" / name).read_bytes() == (finished_run / "seed0" / name).read_bytes()
    selection = Selection.read(output / "seed0/teacher/select/selection.parquet")
    unlabeled = Manifest.read(shapes / "unlabeled.csv")
    right, known = by_hand(selection, unlabeled.table.column("path").to_pylist(), true_labels(shapes))
    assert known == len(selection)
    metrics = json.loads((output / "seed0/teacher/precision/stage.json").read_text())["metrics"]
    assert metrics == {
        "precision": pytest.approx(100 * right / known),
        "right": right,
        "known": known,
        "selected": known,
    }
    rows = read_precision(output / "seed0/teacher/precision/precision.csv")
    assert {row.label for row in rows} == set(selection.classes)
    assert sum(row.right for row in rows) == right
    report = write_report([output], output)
    assert report.document["precision"][0]["right"] == right
    text = (output / "results.md").read_text()
    (cells,) = (
        line.split("|")
        for line in text.split("## Right pseudo-labels")[1].splitlines()
        if line.startswith("| teacher ") and "drifting" not in line
    )
    assert [cell.strip() for cell in cells[3:5]] == [f"{known:,}", f"{100 * right / known:.1f}"]
    assert "share of right pseudo-labels by rank" in (output / "report.html").read_text()


@pytest.mark.slow
def test_labels_come_in_any_order_and_may_be_missing(finished_run: Path, shapes: Path, tmp_path: Path):
    selection = Selection.read(finished_run / "seed0/teacher/select/selection.parquet")
    unlabeled = Manifest.read(shapes / "unlabeled.csv")
    paths = unlabeled.table.column("path").to_pylist()
    half = {path: label for i, (path, label) in enumerate(true_labels(shapes).items()) if i % 2}
    shuffled = {str(shapes / path): label for path, label in reversed(half.items())}  # absolute, from another folder
    manifest = write_labels(tmp_path / "labels.csv", shuffled)
    metrics = measure_precision(
        tmp_path / "precision.csv", selection=selection, unlabeled=unlabeled, true_labels=manifest, title="test"
    )
    assert (metrics["right"], metrics["known"]) == by_hand(selection, paths, half)
    assert metrics["known"] < len(selection)


@pytest.mark.slow
def test_labels_that_do_not_fit_are_refused(finished_run: Path, shapes: Path, tmp_path: Path, load: LoadConfig):
    selection = Selection.read(finished_run / "seed0/teacher/select/selection.parquet")
    unlabeled = Manifest.read(shapes / "unlabeled.csv")
    others = write_labels(tmp_path / "others.csv", {f"{tmp_path}/nowhere.mp4": "drifting east"})

    def measure(manifest: Manifest) -> None:
        measure_precision(
            tmp_path / "p.csv", selection=selection, unlabeled=unlabeled, true_labels=manifest, title="test"
        )

    with refused("precision.no_label"):
        measure(others)
    path = shapes / unlabeled.table.column("path")[0].as_py()
    (tmp_path / "twice.csv").write_text(f"path,label\n{path},drifting east\n{path},drifting west\n")
    with refused("precision.two_labels"):
        measure(Manifest.read(tmp_path / "twice.csv"))
    with refused("manifest.missing_column"):
        pipeline.check(load(f"data.unlabeled_labels={shapes}/unlabeled.csv"))


def test_labels_of_no_unlabeled_set_are_refused(tiny_config: Callable[..., Path], shapes: Path):
    with pytest.raises(UserError) as error:
        load_config(
            str(tiny_config()),
            [
                f"data={{labeled: {shapes}/labeled.csv, test: {shapes}/test.csv, unlabeled_labels: x.csv}}",
                "approaches=[supervised]",
            ],
        )
    assert error.value.code == "config.invalid_value"
    assert "unlabeled_labels" in str(error.value)
