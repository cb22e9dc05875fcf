"""Accuracy of the frequent and the rare classes of the labeled set: head, middle and tail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from vidsemi.inference.accuracy import ClassAccuracy, read_class_accuracy
from vidsemi.io.errors import UserError
from vidsemi.reporting.class_frequency_plot import MOST_STUDENTS, plot_frequency
from vidsemi.reporting.plotting import figure_names
from vidsemi.reporting.results import TEACHERS, RunResults, Spread, as_record, student_of
from vidsemi.reporting.section import Figure, Section, Table

BASELINE = "supervised"  # the approach that gains are measured against
FILE = "class_frequency"
MOST_POINTS, CLASSES_PER_POINT = 4, 4  # of a group in the figure: at most, and at least where it has them
MISSING_SHOWN = 5  # results without accuracy by class that are named one by one


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

    labeled: Sequence[int]  # labeled examples of each class
    test: Sequence[int]  # test examples of each class
    tested: Sequence[TestedStudent]  # one per student and approach, in the order of the results
    missing: Sequence[str]  # results without accuracy by class, each with the reason

    @property
    def students(self) -> list[str]:
        """The students with a panel in the figure: teachers have one only if there are no students."""
        students = dict.fromkeys(one.student for one in self.tested if one.approach not in TEACHERS)
        return list(students or dict.fromkeys(one.student for one in self.tested))


@dataclass(frozen=True)
class GroupAccuracy:
    """A row of class_frequency.csv; the fields are its columns."""

    run: str
    student: str
    approach: str
    group: str
    classes: int
    tested_classes: int
    least_labeled: int
    most_labeled: int
    seeds: int
    top1: Spread | None
    gain: Spread | None


def frequency_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run with results."""
    names = figure_names(FILE, [run.name for run in runs])
    sections = [_section(run, name, several=len(runs) > 1) for run, name in zip(runs, names, strict=True)]
    return [section for section in sections if section]


def _section(run: RunResults, figure_name: str, several: bool) -> Section | None:
    accuracy = read_accuracy_by_class(run.rows, run.folder)
    if not accuracy.tested and not accuracy.missing:
        return None
    title = f"Accuracy by class frequency{f', {run.name}' if several else ''}"
    groups = frequency_groups(accuracy.labeled)
    rows = [_row(run.name, tested, group, accuracy) for tested in accuracy.tested for group in groups]
    notes = [*_group_notes(accuracy, groups), *_missing_notes(accuracy)]
    if any(row.gain for row in rows):
        notes.append(f"Gain: percentage points over the same student trained {BASELINE}, for the seeds that both have.")
    if not rows:
        return Section(title, text=notes)
    if (hidden := len(accuracy.students) - MOST_STUDENTS) > 0:
        notes.append(f"The figure leaves out {hidden} more students.")
    points = [point for group in groups for point in _points(group, accuracy.labeled)]
    return Section(
        title,
        figures=[Figure(title, plot_frequency(accuracy, groups, points, "svg"), name=figure_name)],
        tables=[_table(rows, groups)],
        text=notes,
        data={"class_frequency": [as_record(row) for row in rows]},
    )


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
    return AccuracyByClass([one.labeled or 0 for one in first], [one.test for one in first], students, missing)


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


def _points(group: FrequencyGroup, labeled: Sequence[int]) -> list[list[int]]:
    most = max(1, min(MOST_POINTS, len(group.classes) // CLASSES_PER_POINT))
    parts = split_by_frequency([labeled[index] for index in group.classes], most)
    return [[group.classes[place] for place in part] for part in parts]


def _row(run: str, tested: TestedStudent, group: FrequencyGroup, accuracy: AccuracyByClass) -> GroupAccuracy:
    return GroupAccuracy(
        run=run,
        student=tested.student,
        approach=tested.approach,
        group=group.name,
        classes=len(group.classes),
        tested_classes=_tested_classes(group, accuracy),
        least_labeled=group.least,
        most_labeled=group.most,
        seeds=len(tested.top1),
        top1=tested.spread_of(group.classes),
        gain=_gain(tested, group.classes, accuracy.tested),
    )


def _gain(own: TestedStudent, classes: Sequence[int], tested: Sequence[TestedStudent]) -> Spread | None:
    baseline = next((one for one in tested if (one.student, one.approach) == (own.student, BASELINE)), None)
    if baseline is None or own is baseline:
        return None
    before, after = baseline.mean_of(classes), own.mean_of(classes)
    differences = [after[seed] - before[seed] for seed in after if seed in before]
    return Spread.of(differences) if differences else None


def _tested_classes(group: FrequencyGroup, accuracy: AccuracyByClass) -> int:
    return sum(accuracy.test[index] > 0 for index in group.classes)


def _table(rows: Sequence[GroupAccuracy], groups: Sequence[FrequencyGroup]) -> Table:
    """One row per student and approach: the accuracies of its groups, then their gains."""
    with_gains = any(row.gain for row in rows)
    header = ["student", "approach", *(f"{group.name} %" for group in groups)]
    header += [f"{group.name} gain" for group in groups] if with_gains else []
    cells = []
    for start in range(0, len(rows), len(groups)):
        own = rows[start : start + len(groups)]
        gains = [format(row.gain, "+") if row.gain else "" for row in own] if with_gains else []
        accuracies = [str(row.top1 or "") for row in own]
        cells.append((own[0].student, own[0].approach, *accuracies, *gains, str(own[0].seeds)))
    return Table([*header, "seeds"], cells, text_columns=2)


def _group_notes(accuracy: AccuracyByClass, groups: Sequence[FrequencyGroup]) -> list[str]:
    if not accuracy.tested:
        return []
    if not groups:
        return [f"All {len(accuracy.labeled)} classes have the same number of labeled examples: {accuracy.labeled[0]}."]
    notes = []
    for group in groups:
        span = str(group.least) if group.least == group.most else f"{group.least}–{group.most}"
        classes = "1 class" if len(group.classes) == 1 else f"{len(group.classes)} classes"
        note = f"{group.name}: {classes} with {span} labeled examples{' each' if len(group.classes) > 1 else ''}"
        if untested := len(group.classes) - _tested_classes(group, accuracy):
            note += f"; {untested} of them without test examples, which do not count"
        notes.append(f"{note}.")
    return [*notes, "The accuracy of a group is the mean of its classes' top-1."]


def _missing_notes(accuracy: AccuracyByClass) -> list[str]:
    if not accuracy.missing:
        return []
    more = len(accuracy.missing) - MISSING_SHOWN
    listed = "; ".join(accuracy.missing[:MISSING_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return [f"No accuracy by class of {listed}. To get it, delete the `evaluate` folder and run again."]
