"""A run's directory with all that a report reads, without a training."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.helpers.result_rows import row, write_results
from vidsemi.data.batches import TableBatches
from vidsemi.data.manifest import Manifest
from vidsemi.inference.accuracy import accuracy, accuracy_by_class, write_class_accuracy
from vidsemi.inference.predictions import Predicted, write_predictions
from vidsemi.io.files import write_text
from vidsemi.io.tables import csv_text
from vidsemi.pipeline.precision import ClassPrecision
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select

APPROACHES = {"teacher": 3.0, "supervised": 0.8, "semi_supervised": 1.4, "semi_weakly_supervised": 2.0}
GMACS = {"teacher": 152.4, "small": 1.6, "medium": 20.75}


def fake_run(
    folder: Path,
    classes: Sequence[str],
    examples: int,
    *,
    seeds: int = 2,
    students: Sequence[str] = ("small", "medium"),
) -> Path:
    """Write a run on a test set with that many examples: results, predictions, logs, a selection and its precision."""
    random = np.random.default_rng(0)
    names, labels = np.array([*classes]), np.arange(examples) % len(classes)
    table = pa.table({"path": [f"{i:05}.mp4" for i in range(examples)], "label": names[labels].tolist()})
    manifest = Manifest(folder / "test.csv", folder, TableBatches(table), "1" * 64)
    pairs = [("teacher", "teacher")] + [(one, how) for one in students for how in APPROACHES if how != "teacher"]
    rows = []
    for seed in range(seeds):
        for student, approach in pairs:
            stage = f"seed{seed}/{'teacher' if student == 'teacher' else f's{students.index(student)}'}/{approach}"
            logits = random.normal(size=(examples, len(classes)))
            logits[np.arange(examples), labels] += APPROACHES[approach] + (student == "medium") * 0.7
            rows.append(_evaluated(folder, stage, (student, approach, seed), manifest, labels, classes, logits))
            write_log(folder / stage / "train", [3.0, 2.0 - seed / 10, 1.0])
    _select(folder / "seed0/teacher", classes, random)
    return write_results(folder, rows)


def _evaluated(
    folder: Path,
    stage: str,
    who: tuple[str, str, int],
    manifest: Manifest,
    labels: np.ndarray,
    classes: Sequence[str],
    logits: np.ndarray,
) -> dict:
    """Write the files of an evaluation; returns its row of results.json."""
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = {i: int(np.flatnonzero(order[i] == label)[0]) for i, label in enumerate(labels)}
    ranks[len(labels) - 1] = None  # type: ignore[assignment]
    top, read = min(5, len(classes)), len(labels) - 1
    best = order[:read, :top]
    part = Predicted(
        range(len(labels)),
        np.arange(read),
        best,
        np.take_along_axis(scores[:read], best, 1).astype(np.float32),
        {read: "broken"},
    )
    file = folder / stage / "evaluate/predictions.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(file, manifest, [*classes], top, [part])
    counts = {name: 5 + 7 * (number % 5) for number, name in enumerate(classes)}
    write_class_accuracy(file.with_name("classes.csv"), accuracy_by_class(ranks, labels.tolist(), [*classes], counts))
    found = accuracy(ranks, labels)
    student, approach, seed = who
    numbers = {"top5": found.top5, "mean_class_top1": found.mean_class_top1, "read": found.read, "total": found.total}
    files = {"predictions": f"{stage}/evaluate/predictions.parquet", "classes": f"{stage}/evaluate/classes.csv"}
    more = {**numbers, **files, "num_classes": len(classes), "test_set": "1" * 64, "test_manifest": "test.csv"}
    return row(student, approach, seed, found.top1, GMACS.get(student, 5.0), **more)


def write_log(folder: Path, losses: Sequence[float]) -> None:
    """The log of a training run with steps of 100 examples."""
    folder.mkdir(parents=True, exist_ok=True)
    events: list[dict] = [{"event": "begin", "examples": 0, "time": "2026-01-01T00:00:00Z"}]
    for step, loss in enumerate(losses, start=1):
        numbers = {"loss": loss, "learning_rate": 0.1 / step, "accuracy": 0.2 * step, "waited": 0.25}
        events.append({"event": "step", "examples": 100 * step, "clips_per_second": 99.5, **numbers})
    (folder / "train.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def _select(teacher: Path, classes: Sequence[str], random: np.random.Generator) -> None:
    count = 20 * len(classes)
    best = random.integers(0, len(classes), count).astype(np.int32)
    rows = ScoreRows(np.arange(count), best, random.random(count).astype(np.float32))
    shards = [ScoreShard("part 0", 0, lambda: [rows], lambda: count)]
    info = ScoresInfo("m", "w", [*classes], 1, views=10, examples=count)
    select(shards, info, per_class=10, per_example=1).write(teacher / "select/selection.parquet")
    precision = [
        ClassPrecision(name, rank, rank, 1, 1, int((number + rank) % 10 > rank / 2))
        for number, name in enumerate(classes)
        for rank in range(10)
    ]
    write_text(teacher / "precision/precision.csv", csv_text([vars(one) for one in precision]))
