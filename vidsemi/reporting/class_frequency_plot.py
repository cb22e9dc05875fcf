"""The plot of accuracy against the labeled examples of a class: a panel per student."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

from vidsemi.reporting.accuracy_by_class import AccuracyByClass, FrequencyGroup, TestedStudent
from vidsemi.reporting.accuracy_plot import APPROACH_COLORS, OTHER, approach_name
from vidsemi.reporting.plot import Line, Panel, Plot, Scale, log_scale
from vidsemi.reporting.results import TEACHERS

MOST_STUDENTS = 6  # panels in the plot
SYMBOLS = {"weakly_supervised": "square", "semi_supervised": "diamond", "semi_weakly_supervised": "triangle-up"}
MOST_DOTS = 60  # classes that are drawn one by one; more would hide the lines
WIDE = 4  # ratio of the largest to the smallest number of examples from which on the axis is logarithmic


def frequency_plot(
    accuracy: AccuracyByClass, groups: Sequence[FrequencyGroup], points: Sequence[Sequence[int]], alt: str, name: str
) -> Plot:
    """Top-1 against the labeled examples of a class: a line per approach, teachers in all panels.

    A point is the mean over some classes and over seeds, with an error bar of one standard deviation. If there are few
    classes, each is also a pale dot.
    """
    students = accuracy.students[:MOST_STUDENTS]
    x, y = _scale(accuracy.labeled), Scale("top-1 accuracy of the class, %", limits=(-3, 103))
    panels = [
        Panel(
            x,
            y,
            [
                line
                for tested in accuracy.tested
                if tested.student == student or tested.approach in TEACHERS
                for line in _lines(tested, accuracy, points)
            ],
            title=student,
            marks=_marks(groups),
        )
        for student in students
    ]
    return Plot(alt, panels, columns=min(2, len(panels)), height=380, name=name)


def _lines(tested: TestedStudent, accuracy: AccuracyByClass, points: Sequence[Sequence[int]]) -> list[Line]:
    """A line, and the dots of its classes."""
    teacher, labeled, label = tested.approach in TEACHERS, accuracy.labeled, approach_name(tested.approach)
    color = APPROACH_COLORS.get(tested.approach, OTHER)
    known = [(classes, spread) for classes in points if (spread := tested.spread_of(classes))]
    lines = [
        Line(
            label,
            [fmean(labeled[index] for index in classes) for classes, _ in known],
            [spread.mean for _, spread in known],
            errors=[math.nan if spread.deviation is None else spread.deviation for _, spread in known],
            hover=[
                f"{label}, {_number(len(classes), 'class', 'classes')}\n{spread}% top-1" for classes, spread in known
            ],
            color=color,
            dash="dot" if teacher else "solid",
            width=1 if teacher else 1.5,
            symbols=[SYMBOLS.get(tested.approach, "circle")],
            size=7,
        )
    ]
    if len(labeled) <= MOST_DOTS and len(points) < len(labeled) and not teacher:
        dots = [(index, spread) for index in range(len(labeled)) if (spread := tested.spread_of([index]))]
        lines.append(
            Line(
                label,
                [labeled[index] for index, _ in dots],
                [spread.mean for _, spread in dots],
                hover=[
                    f"{accuracy.classes[index]}, {_number(labeled[index], 'labeled example', 'labeled examples')}\n"
                    f"{label}: {spread}% top-1"
                    for index, spread in dots
                ],
                color=color,
                dash="",
                symbols=["circle"],
                size=5,
                opacity=0.45,
            )
        )
    return lines


def _number(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _marks(groups: Sequence[FrequencyGroup]) -> list[tuple[float, str, str]]:
    """Lines between the groups, the most frequent first; the first and the last group have their names beside them."""
    places = [math.sqrt(more.least * fewer.most) for more, fewer in pairwise(groups)]
    if len(places) == 1:
        return [(places[0], f"← {groups[-1].name} | {groups[0].name} →", "center")]
    texts = [(f"{groups[0].name} →", "left"), *[("", "center")] * (len(places) - 2), (f"← {groups[-1].name}", "right")]
    return [(place, *text) for place, text in zip(places, texts, strict=True)]


def _scale(labeled: Sequence[int]) -> Scale:
    """The same scale for all panels, a log scale if classes differ much."""
    least, most = min(labeled), max(labeled)
    if least > 0 and most / least >= WIDE:
        scale = log_scale("labeled examples of the class (log scale)", labeled)
        low, high = least / 1.3, most * 1.3
        return replace(scale, limits=(low, high), ticks=[tick for tick in scale.ticks if low <= tick[0] <= high])
    return Scale("labeled examples of the class")
