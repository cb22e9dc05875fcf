"""Accuracy by how frequent the classes are in D: the groups of classes, and what each network reaches in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from vidsemi.inference.accuracy import ClassAccuracy, read_class_accuracy
from vidsemi.io.errors import UserError
from vidsemi.report.summary import TEACHERS, Spread

BASELINE = "supervised"  # the approach that the others' gain is over


@dataclass(frozen=True)
class Group:
    """Classes that are about equally frequent in D.

    Attributes:
        name: head, middle or tail.
        classes: their indices.
        least: examples in D of the rarest of them.
        most: examples in D of the most frequent one.
    """

    name: str
    classes: tuple[int, ...]
    least: int
    most: int


@dataclass(frozen=True)
class Tested:
    """The accuracy by class of a student and approach.

    Attributes:
        student: its name.
        approach: how it was trained.
        top1: percent of each class by seed; None for a class without a test example.
    """

    student: str
    approach: str
    top1: Mapping[int, Sequence[float | None]]

    def mean_of(self, classes: Sequence[int]) -> dict[int, float]:
        """Mean over some of the classes, by seed; empty where none of them has a test example."""
        own = {seed: [value for i in classes if (value := top1[i]) is not None] for seed, top1 in self.top1.items()}
        return {seed: fmean(values) for seed, values in own.items() if values}


@dataclass(frozen=True)
class ByFrequency:
    """What a run tells of accuracy by class.

    Attributes:
        labeled: examples in D of each class.
        test: examples in the test set of each class.
        tested: a line a student and approach, in the order of the results.
        lost: rows whose accuracy by class is not known, or is that of another D, with the reason.
    """

    labeled: Sequence[int]
    test: Sequence[int]
    tested: Sequence[Tested]
    lost: Sequence[str]


def split_by_frequency(labeled: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Cut the classes into parts of as many classes each as can be, the most frequent first.

    Classes with the same number of examples stay together, in the part where the middle of them lies; so no order of
    the classes decides. Parts that stay empty are left out: equally frequent classes are one part.

    Args:
        labeled: examples in D of each class.
        parts: how many there may be.

    Returns:
        Indices of classes, each once.
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


def frequency_groups(labeled: Sequence[int]) -> list[Group]:
    """The head, middle and tail of D: thirds of its classes; none where all classes are equally frequent.

    Thirds, not the numbers of examples by which the long-tail literature tells many-shot, medium-shot and few-shot
    classes apart (more than 100, 20 to 100, fewer than 20: Liu et al. 2019, "Large-Scale Long-Tailed Recognition in an
    Open World"): those suit some sets of images. All classes of Kinetics-400, with hundreds of videos each, would be
    many-shot, and all of a D with ten a class few-shot, so that nothing could be compared. The report says how many
    examples the classes of each group have.

    Args:
        labeled: examples in D of each class.
    """
    parts = split_by_frequency(labeled, 3)
    names = {1: (), 2: ("head", "tail"), 3: ("head", "middle", "tail")}[len(parts)]
    return [
        Group(name, part, min(labeled[i] for i in part), max(labeled[i] for i in part))
        for name, part in zip(names, parts, strict=False)
    ]


def by_frequency(rows: Sequence[dict[str, Any]], run: Path) -> ByFrequency:
    """Read the accuracy by class of all networks of a run.

    Args:
        rows: of its results.json.
        run: its directory.
    """
    read = [_classes_of(row, run) for row in rows]
    # A teacher that is not trained may have been tested before D grew; students learn D as it is.
    of_students = [own for row, own in zip(rows, read, strict=True) if row["approach"] not in TEACHERS]
    first = next((own for own in [*of_students, *read] if not isinstance(own, str)), [])
    found: dict[tuple[str, str], dict[int, Sequence[float | None]]] = {}
    lost = []
    for row, own in zip(rows, read, strict=True):
        if not isinstance(own, str) and [_counts(one) for one in own] == [_counts(one) for one in first]:
            found.setdefault((row["student"], row["approach"]), {})[row["seed"]] = [one.top1 for one in own]
        else:
            why = own if isinstance(own, str) else "of another D or test set than the first student"
            lost.append(f"{row['student']} ({row['approach']}, seed {row['seed']}): {why}")
    tested = [Tested(student, approach, top1) for (student, approach), top1 in found.items()]
    return ByFrequency([own.labeled or 0 for own in first], [own.test for own in first], tested, lost)


def _classes_of(row: dict[str, Any], run: Path) -> list[ClassAccuracy] | str:
    """The accuracy by class that belongs to a row of results.json, or why it is not known."""
    if not isinstance(row.get("classes"), str):
        return "tested by a version that did not write it"
    try:
        classes = read_class_accuracy(run / row["classes"])
    except UserError as error:
        return str(error)
    if not classes or any(own.labeled is None for own in classes):
        return f"{row['classes']} does not tell the examples in D"
    return classes


def _counts(own: ClassAccuracy) -> tuple[str, int | None, int]:
    return own.label, own.labeled, own.test


def gain(own: Tested, baseline: Tested | None, classes: Sequence[int]) -> Spread | None:
    """By how many points a student is better in some classes than trained on D alone, over the seeds that both have."""
    if baseline is None or own is baseline:
        return None
    before, after = baseline.mean_of(classes), own.mean_of(classes)
    differences = [after[seed] - before[seed] for seed in after if seed in before]
    return Spread.of(differences) if differences else None


def baseline_of(own: Tested, tested: Sequence[Tested]) -> Tested | None:
    """The same student trained on D alone."""
    return next((other for other in tested if (other.student, other.approach) == (own.student, BASELINE)), None)
