"""Accuracy of each class by the best student of a run, and the change against the same student on labels alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from vidsemi.reporting.accuracy_by_class import AccuracyByClass, TestedStudent, read_accuracy_by_class
from vidsemi.reporting.accuracy_plot import approach_name
from vidsemi.reporting.plot import BLUE, INK, Line, Panel, Plot, Scale
from vidsemi.reporting.results import BASELINE, RunResults, best_rows, student_of
from vidsemi.reporting.section import Section, Table

NAMED = 3  # classes that gain and lose most
SPREAD = 1e-9  # points; of means that differ by rounding only


@dataclass(frozen=True)
class ClassChange:
    """A class with test examples: top-1 in percent, means over seeds."""

    name: str
    labeled: int
    test: int
    top1: float
    before: float | None  # by labels alone, of the seeds that both have; None if not known
    change: float | None


def class_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run whose best student has accuracy by class."""
    sections = []
    for run in runs:
        accuracy, best = read_accuracy_by_class(run.rows, run.folder), best_rows(run)
        tested = {(one.student, one.approach): one for one in accuracy.tested}
        own = tested.get((student_of(best[0]), best[0]["approach"])) if best else None
        if own:
            title = f"Accuracy by class{f', {run.name}' if len(runs) > 1 else ''}"
            sections.append(_section(title, own, tested.get((own.student, BASELINE)), accuracy))
    return sections


def _section(title: str, own: TestedStudent, baseline: TestedStudent | None, accuracy: AccuracyByClass) -> Section:
    if baseline is own:
        baseline = None
    changes = class_changes(own, baseline, accuracy)
    who = f"{own.student}, {approach_name(own.approach)}"
    known = [(one.change, one) for one in changes if one.change is not None]
    header = ["class", "labeled", "test", "top-1 %", *(["labels alone %", "change"] if known else [])]
    rows = []
    for one in changes:
        cells = [one.name, f"{one.labeled:,}", f"{one.test:,}", f"{one.top1:.1f}"]
        if known:
            before = "" if one.before is None else f"{one.before:.1f}"
            cells += [before, "" if one.change is None else f"{one.change:+.1f}"]
        rows.append(tuple(cells))
    notes = [f"Top-1 of the test examples of each class by {who}: means over seeds."]
    if known:
        ups, downs = (sum(sign * change > SPREAD for change, _ in known) for sign in (1, -1))
        notes.append(
            f"Against labels alone {ups} of {len(known)} classes gain and {downs} lose, in points.{_named(known)}"
        )
    plots = [_plot(changes, who)] if known else []
    return Section(title, plots=plots, tables=[Table(header, rows, fold="All classes")], text=notes)


def class_changes(own: TestedStudent, baseline: TestedStudent | None, accuracy: AccuracyByClass) -> list[ClassChange]:
    """The classes that have test examples, in their order."""
    found = []
    for index, name in enumerate(accuracy.classes):
        after = own.mean_of([index])
        if not after:
            continue
        before = baseline.mean_of([index]) if baseline else {}
        seeds = after.keys() & before.keys()
        mean = sum(before[seed] for seed in seeds) / len(seeds) if seeds else None
        change = sum(after[seed] - before[seed] for seed in seeds) / len(seeds) if seeds else None
        top1 = sum(after.values()) / len(after)
        found.append(ClassChange(name, accuracy.labeled[index], accuracy.test[index], top1, mean, change))
    return found


def _named(known: Sequence[tuple[float, ClassChange]]) -> str:
    """The classes that change most, in words."""
    ordered = sorted(known, key=lambda pair: -pair[0])
    most = [(change, one.name) for change, one in ordered[:NAMED] if change > SPREAD]
    least = [(change, one.name) for change, one in reversed(ordered[-NAMED:]) if change < -SPREAD]
    texts = [", ".join(f"{name} ({change:+.1f})" for change, name in part) for part in (most, least)]
    return "".join(f" {what}: {text}." for what, text in zip(("Most gained", "Most lost"), texts, strict=True) if text)


def _plot(changes: Sequence[ClassChange], who: str) -> Plot:
    shown = [(one, one.before, one.change) for one in changes if one.before is not None and one.change is not None]
    dots = Line(
        "class",
        [before for _, before, _ in shown],
        [before + change for _, before, change in shown],
        hover=[
            f"{one.name}\n{before:.1f}% → {before + change:.1f}% ({change:+.1f} points)\n"
            f"{one.labeled:,} labeled, {one.test:,} test examples"
            for one, before, change in shown
        ],
        color=BLUE,
        dash="",
        symbols=["circle"],
        size=8,
        opacity=0.75,
    )
    same = Line("no change", [0, 100], [0, 100], color=INK, dash="dash", width=1)
    x = Scale("labels alone: top-1 of the class, %", limits=(-3, 103))
    y = Scale(f"{who}, %", limits=(-3, 103))
    return Plot("accuracy of each class against that of labels alone", [Panel(x, y, [same, dots])])
