"""Accuracy overall and per class: against counting in plain Python, as a CSV file, and as an evaluation writes it."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.builders import spec_for
from vidsemi.cli import main as cli
from vidsemi.config import Runtime
from vidsemi.data.manifest import load_manifest
from vidsemi.inference.accuracy import (
    ClassAccuracy,
    accuracy,
    accuracy_by_class,
    read_class_accuracy,
    write_class_accuracy,
)
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.io.errors import UserError
from vidsemi.models.weights_file import save_weights

NAMES = ["=1+1", '-a, "b"', "@c", "plain", "ü\tü", "'quoted"]
RANKS = st.none() | st.integers(0, 7)
EXAMPLES = st.lists(st.tuples(st.integers(0, len(NAMES) - 1), RANKS), min_size=1, max_size=40)


@settings(deadline=None)
@given(EXAMPLES, st.randoms(use_true_random=False))
def test_each_class_is_counted_by_itself(examples: list[tuple[int, int | None]], random: Random):
    labels = [label for label, _ in examples]
    ranks = dict(enumerate(rank for _, rank in examples))
    found = accuracy_by_class(ranks, labels, NAMES, {"plain": 3})
    for index, row in enumerate(found):
        own = [rank for label, rank in examples if label == index]
        assert (row.label, row.labeled) == (NAMES[index], 3 if NAMES[index] == "plain" else 0)
        assert (row.test, row.read) == (len(own), len(own) - own.count(None))
        for value, correct in ((row.top1, [0]), (row.top5, [0, 1, 2, 3, 4])):
            assert value == (pytest.approx(100 * sum(own.count(r) for r in correct) / len(own)) if own else None)

    whole = accuracy(ranks, np.array(labels))
    tested = [row for row in found if row.top1 is not None]
    assert sum(row.top1 for row in tested) / len(tested) == pytest.approx(whole.mean_class_top1)
    assert sum(row.top1 * row.test for row in tested) / whole.total == pytest.approx(whole.top1)
    assert sum(row.read for row in found) == whole.read

    shuffled = list(examples)
    random.shuffle(shuffled)
    again = accuracy_by_class(dict(enumerate(r for _, r in shuffled)), [i for i, _ in shuffled], NAMES, {"plain": 3})
    assert again == found


def test_the_file_holds_what_was_written_and_no_formula(tmp_path: Path):
    rows = [ClassAccuracy(name, 2, 3, 2, 100 / 3, 200 / 3) for name in NAMES[:-1]]
    rows.append(ClassAccuracy("nobody's", None, 0, 0, None, None))
    file = tmp_path / "classes.csv"
    write_class_accuracy(file, rows)
    assert read_class_accuracy(file) == [replace(row, label=row.label.replace("\t", " ")) for row in rows]
    with open(file, newline="", encoding="utf-8") as stream:
        cells = [row["label"] for row in csv.DictReader(stream)]
    assert cells == ["'=1+1", '\'-a, "b"', "'@c", "plain", "ü ü", "nobody's"]
    table = pyarrow.csv.read_csv(file)
    assert table.column_names == ["label", "labeled", "test", "read", "top1", "top5"]
    assert [str(field.type) for field in table.schema] == ["string", "int64", "int64", "int64", "double", "double"]
    assert table["top1"].null_count == table["labeled"].null_count == 1
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(f"SELECT sum(test), avg(top1) FROM '{file}'").fetchall() == [(15, pytest.approx(100 / 3))]


@pytest.mark.parametrize("text", ["", "label,test\na,1\n", "label,labeled,test,read,top1,top5\na,1,many,1,1,1\n", "\0"])
def test_another_file_is_refused(text: str, tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_text(text)
    for code, path in (("wrong_format", file), ("unreadable", tmp_path / "none.csv")):
        with pytest.raises(UserError, match=path.name) as error:
            read_class_accuracy(path)
        assert error.value.code == f"class_accuracy.{code}"


def test_an_evaluation_leaves_all_classes(tmp_path: Path, shapes: Path, weights: Path):
    """Two classes have test videos, one of them two that cannot be read; one class has no labeled example."""
    with open(shapes / "test.csv", newline="") as stream:
        tested = [row for row in csv.DictReader(stream) if row["label"] in ("drifting east", "drifting west")]
    paths = [(f"{shapes}/{row['path']}", row["label"]) for row in tested]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths += [(f"{tmp_path}/broken.mp4", "drifting west"), ("/nowhere/a.mp4", "drifting west")]
    write = "path,label\n" + "".join(f"{path},{label}\n" for path, label in paths)
    (tmp_path / "test.csv").write_text(write)
    with open(shapes / "labeled.csv", newline="") as stream:
        labels = [row["label"] for row in csv.DictReader(stream)][4:]  # the first class has fewer, or none
    (tmp_path / "labeled.csv").write_text("path,label\n" + "".join(f"x.mp4,{label}\n" for label in labels))

    metrics = evaluate_weights(
        weights=weights,
        manifest=load_manifest(tmp_path / "test.csv"),
        views=1,
        runtime=Runtime(device="cpu", workers=0),
        title="evaluate",
        by_class=tmp_path / "evaluate" / "classes.csv",
        labeled=load_manifest(tmp_path / "labeled.csv"),
    )
    rows = {row.label: row for row in read_class_accuracy(tmp_path / "evaluate" / "classes.csv")}
    assert len(rows) == 8
    assert {name: row.labeled for name, row in rows.items()} == {name: labels.count(name) for name in rows}
    count = Counter(label for _, label in paths)
    assert {name: row.test for name, row in rows.items() if row.test} == count
    assert {name: row.read for name, row in rows.items() if row.read} == count - Counter({"drifting west": 2})
    assert rows["drifting west"].top5 <= 100 * (count["drifting west"] - 2) / count["drifting west"]
    own = [row.top1 for row in rows.values() if row.test]
    assert sum(own) / 2 == pytest.approx(metrics["mean_class_top1"])
    assert sum(row.top5 * row.test for row in rows.values() if row.test) / len(paths) == pytest.approx(metrics["top5"])
    assert all(row.top1 is None and row.top5 is None for row in rows.values() if not row.test)


def test_the_command_does_not_write_over_what_it_reads(weights: Path, shapes: Path, capsys: pytest.CaptureFixture[str]):
    command = ["evaluate", "--weights", str(weights), "--manifest", str(shapes / "test.csv")]
    for file in (weights, shapes / "test.csv"):
        before = file.read_bytes()
        assert cli.main([*command, "--by-class", str(file)]) == 2
        assert "[output.is_input]" in capsys.readouterr().err
        assert file.read_bytes() == before


@pytest.mark.parametrize("classes", [5, 6])
def test_top_5_of_fewer_than_six_classes_is_not_shown(
    classes: int, tmp_path: Path, colors: Path, capsys: pytest.CaptureFixture[str]
):
    names = ["blue", "green", "red", "teal", "yellow", "zinc"][:classes]
    spec = spec_for("resnet18", classes, 1, width=0.0625, stem="cifar")
    spec = replace(spec, classes=names, input=replace(spec.input, resize=(20, 20), crop=16))
    save_weights(tmp_path / "few.pt", spec.build(), spec, {})
    command = ["evaluate", "--weights", str(tmp_path / "few.pt"), "--manifest", str(colors / "test.csv")]
    command += ["--workers", "0", "--device", "cpu"]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "top-1" in text and ("top-5" in text) == (classes > 5)
    assert cli.main([*command, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["num_classes"] == classes and ("top5" in metrics) == (classes > 5)
