"""Accuracy by class of the networks of a run, and groups of classes by their frequency in the labeled set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from vidsemi.inference.accuracy import ClassAccuracy, read_class_accuracy
from vidsemi.io.errors import UserError
from vidsemi.reporting.results import TEACHERS, Spread, student_of


@dataclass(frozen=True)
class FrequencyGroup:
    """Classes that are about equally frequent in the labeled set."""

    name: str  # head, middle or tail
    classes: tuple[int, ...]
    least: int  # labeled examples of the rarest class
    most: int  # labeled examples of the most frequent class


@dataclass(frozen=True)
class TestedStudent:
    """Accuracy by class of a student and approach."""

    student: str
    approach: str
    top1: Mapping[int, Sequence[float | None]]  # seed → percent of each class; None without test examples

    def mean_of(self, classes: Sequence[int]) -> dict[int, float]:
        """Seed → mean over some classes; empty if none of them has test examples."""
        known = {seed: [value for i in classes if (value := top1[i]) is not None] for seed, top1 in self.top1.items()}
        return {seed: fmean(values) for seed, values in known.items() if values}

    def spread_of(self, classes: Sequence[int]) -> Spread | None:
        """Mean and deviation over seeds of `mean_of`."""
        values = self.mean_of(classes)
        return Spread.of([*values.values()]) if values else None


@dataclass(frozen=True)
class AccuracyByClass:
    """Accuracy by class of all networks of a run."""

    classes: Sequence[str]  # their names
    labeled: Sequence[int]  # labeled examples of each class
    test: Sequence[int]  # test examples of each class
    tested: Sequence[TestedStudent]  # one per student and approach, in the order of the results
    missing: Sequence[str]  # results without accuracy by class, each with the reason

    @property
    def students(self) -> list[str]:
        """The students with a panel in the plot: teachers have one only if there are no students."""
        students = dict.fromkeys(one.student for one in self.tested if one.approach not in TEACHERS)
        return list(students or dict.fromkeys(one.student for one in self.tested))


def read_accuracy_by_class(rows: Sequence[dict[str, Any]], folder: Path) -> AccuracyByClass:
    """Read the classes.csv that the rows of a run's results.json name."""
    first: list[ClassAccuracy] = []
    known: tuple[str | None, list[Any]] | None = None  # test set and counts of the first
    tested: dict[tuple[str, str], dict[int, Sequence[float | None]]] = {}
    missing = []
    for row in rows:
        classes = _read_classes(row, folder)
        if not isinstance(classes, str):
            first = first or classes
            own = row.get("test_set"), [_counts(one) for one in classes]
            known = known or own
            if own == known:
                tested.setdefault((student_of(row), row["approach"]), {})[row["seed"]] = [one.top1 for one in classes]
                continue
            classes = "evaluated with another labeled set or test set"
        missing.append(f"{student_of(row)} ({row['approach']}, seed {row['seed']}): {classes}")
    students = [TestedStudent(student, approach, top1) for (student, approach), top1 in tested.items()]
    return AccuracyByClass(
        [one.label for one in first],
        [one.labeled or 0 for one in first],
        [one.test for one in first],
        students,
        missing,
    )


def _read_classes(row: dict[str, Any], folder: Path) -> list[ClassAccuracy] | str:
    """The accuracy by class of a row, or the reason why it is not known."""
    if not isinstance(row.get("classes"), str):
        return "results.json does not name its classes.csv"
    try:
        classes = read_class_accuracy(folder / row["classes"])
    except UserError as error:
        return str(error)
    if not classes or any(one.labeled is None for one in classes):
        return f"{row['classes']} has no numbers of labeled examples"
    return classes


def _counts(accuracy: ClassAccuracy) -> tuple[str, int | None, int]:
    return accuracy.label, accuracy.labeled, accuracy.test


def split_by_frequency(labeled: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Cut the class indices, most frequent first, into at most so many parts with about the same number of classes.

    Classes with the same number of labeled examples stay together, in the part that their middle falls into, so the
    order of the classes does not matter. Empty parts are left out: equally frequent classes are one part.
    """
    order = sorted(range(len(labeled)), key=lambda index: -labeled[index])
    found: list[list[int]] = [[] for _ in range(parts)]
    begin = 0
    for _, group in groupby(order, key=lambda index: labeled[index]):
        equal = list(group)
        end = begin + len(equal)
        found[parts * (begin + end) // (2 * len(order))] += equal
        begin = end
    return [tuple(part) for part in found if part]


def frequency_groups(labeled: Sequence[int]) -> list[FrequencyGroup]:
    """Head, middle and tail of the labeled set: thirds of its classes. None if all classes are equally frequent.

    The long-tail literature tells many-shot, medium-shot and few-shot classes apart by fixed numbers of examples (more
    than 100, 20 to 100, fewer than 20: Liu et al. 2019, "Large-Scale Long-Tailed Recognition in an Open World"). Those
    numbers suit some image datasets. All classes of Kinetics-400, with hundreds of videos each, would be many-shot,
    and all classes of a set with ten examples each few-shot, so there would be nothing to compare. The report states
    how many examples the classes of each group have.
    """
    parts = split_by_frequency(labeled, 3)
    names = {2: ("head", "tail"), 3: ("head", "middle", "tail")}.get(len(parts), ())
    return [
        FrequencyGroup(name, part, min(labeled[i] for i in part), max(labeled[i] for i in part))
        for name, part in zip(names, parts, strict=False)
    ]
