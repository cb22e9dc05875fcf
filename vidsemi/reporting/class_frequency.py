"""Accuracy of the frequent and the rare classes of the labeled set: head, middle and tail."""

from collections.abc import Sequence
from dataclasses import dataclass

from vidsemi.reporting.accuracy_by_class import (
    AccuracyByClass,
    FrequencyGroup,
    TestedStudent,
    frequency_groups,
    read_accuracy_by_class,
    split_by_frequency,
)
from vidsemi.reporting.class_frequency_plot import MOST_STUDENTS, frequency_plot
from vidsemi.reporting.plot import plot_names
from vidsemi.reporting.results import BASELINE, RunResults, Spread, as_record
from vidsemi.reporting.section import Section, Table

FILE = "class_frequency"
MOST_POINTS, CLASSES_PER_POINT = 4, 4  # of a group in the plot: at most, and at least where it has them
MISSING_SHOWN = 5  # results without accuracy by class that are named one by one


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
    names = plot_names(FILE, [run.name for run in runs])
    sections = [_section(run, name, several=len(runs) > 1) for run, name in zip(runs, names, strict=True)]
    return [section for section in sections if section]


def _section(run: RunResults, plot_name: str, several: bool) -> Section | None:
    if not any("classes" in row for row in run.rows):  # it has no labeled set
        return None
    accuracy = read_accuracy_by_class(run.rows, run.folder)
    title = f"Accuracy by class frequency{f', {run.name}' if several else ''}"
    groups = frequency_groups(accuracy.labeled)
    rows = [_row(run.name, tested, group, accuracy) for tested in accuracy.tested for group in groups]
    notes = [*_group_notes(accuracy, groups), *_missing_notes(accuracy)]
    if any(row.gain for row in rows):
        notes.append(f"Gain: percentage points over the same student trained {BASELINE}, for the seeds that both have.")
    if not rows:
        return Section(title, text=notes)
    if (hidden := len(accuracy.students) - MOST_STUDENTS) > 0:
        notes.append(f"The plot leaves out {hidden} more students.")
    points = [point for group in groups for point in _points(group, accuracy.labeled)]
    return Section(
        title,
        plots=[frequency_plot(accuracy, groups, points, title, plot_name)],
        tables=[_table(rows, groups)],
        text=notes,
        data={"class_frequency": [as_record(row) for row in rows]},
    )


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
