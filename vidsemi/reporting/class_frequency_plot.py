"""The figure of accuracy against the labeled examples of a class: a panel per student."""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from vidsemi.reporting.accuracy_by_class import AccuracyByClass, FrequencyGroup, TestedStudent
from vidsemi.reporting.accuracy_plot import COLORS, OTHER
from vidsemi.reporting.plotting import plain_numbers, pyplot, save
from vidsemi.reporting.results import TEACHERS

MOST_STUDENTS = 6  # panels in the figure
COLUMNS = 2  # of panels
PANEL = (4.6, 3.5)  # inches
TITLE_WIDTH = 45  # characters that fit above a panel
MARKERS = {"weakly_supervised": "s", "semi_supervised": "D", "semi_weakly_supervised": "^"}
MOST_DOTS = 60  # classes that are drawn one by one; more would hide the lines
WIDE = 4  # ratio of the largest to the smallest number of examples from which on the axis is logarithmic
DECADES = 30  # the same ratio, from which on the axis has fewer numbers


def plot_frequency(
    accuracy: AccuracyByClass, groups: Sequence[FrequencyGroup], points: Sequence[Sequence[int]], format: str
) -> bytes:
    """Plot top-1 against the labeled examples of a class, as svg or png: a line per approach, teachers in all panels.

    A point is the mean over some classes and over seeds, with an error bar of one standard deviation. If there are few
    classes, each is also a pale dot.
    """
    students = accuracy.students[:MOST_STUDENTS]
    columns = min(COLUMNS, len(students))
    rows = math.ceil(len(students) / columns)
    size = (max(6.5, PANEL[0] * columns), PANEL[1] * rows + 0.6)
    figure, grid = pyplot().subplots(
        rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    logarithmic = _scale(grid, accuracy.labeled)
    lines: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(students):
            axes.set_axis_off()
            continue
        if place + columns >= len(students):  # the lowest panel of its column
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(f"labeled examples of the class{' (log scale)' if logarithmic else ''}", fontsize=9)
        for tested in accuracy.tested:
            if tested.student == students[place] or tested.approach in TEACHERS:
                lines.setdefault(tested.approach, _draw(axes, tested, accuracy.labeled, points))
        axes.set_title(textwrap.fill(students[place], TITLE_WIDTH), fontsize=10, pad=16)
        _mark_groups(axes, groups)
    for axes in grid[:, 0]:
        axes.set_ylabel("top-1 accuracy of the class, %", fontsize=9)
    names = [approach.replace("_", "-") for approach in lines]
    figure.legend([*lines.values()], names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return save(figure, format)


def _draw(axes: Any, tested: TestedStudent, labeled: Sequence[int], points: Sequence[Sequence[int]]) -> Any:
    """Draw a line and the dots of its classes; returns what the legend shows."""
    teacher = tested.approach in TEACHERS
    xs = [fmean(labeled[index] for index in classes) for classes in points]
    spreads = [(x, spread) for x, classes in zip(xs, points, strict=True) if (spread := tested.spread_of(classes))]
    color = COLORS.get(tested.approach, OTHER)
    line = axes.errorbar(
        [x for x, _ in spreads],
        [spread.mean for _, spread in spreads],
        yerr=[math.nan if spread.deviation is None else spread.deviation for _, spread in spreads],
        color=color,
        marker=MARKERS.get(tested.approach, "o"),
        markersize=5,
        linestyle=":" if teacher else "-",
        linewidth=1 if teacher else 1.5,
        elinewidth=0.9,
        capsize=2,
        zorder=2 if teacher else 3,
    )
    if len(labeled) <= MOST_DOTS and len(points) < len(labeled) and not teacher:
        dots = [(x, spread.mean) for index, x in enumerate(labeled) if (spread := tested.spread_of([index]))]
        axes.plot([x for x, _ in dots], [y for _, y in dots], ".", color=color, alpha=0.35, markersize=5, zorder=1.5)
    return line


def _mark_groups(axes: Any, groups: Sequence[FrequencyGroup]) -> None:
    """Draw lines between the groups, and name the first and the last one above the axes."""
    ends = [math.sqrt(more.least * fewer.most) for more, fewer in pairwise(groups)]
    for end in ends:
        axes.axvline(end, color="#777777", linestyle="--", linewidth=0.7, zorder=1)
    for text, end, side in ((f"{groups[0].name} →", ends[0], "left"), (f"← {groups[-1].name}", ends[-1], "right")):
        place = {"xycoords": ("data", "axes fraction"), "xytext": (4 if side == "left" else -4, 3)}
        style = {"textcoords": "offset points", "ha": side, "fontsize": 8, "color": "#555555"}
        axes.annotate(text, (end, 1), **place, **style, annotation_clip=False)


def _scale(grid: Any, labeled: Sequence[int]) -> bool:
    """Give all panels one scale, a log scale with round numbers if classes differ much; returns whether it is one."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    least, most = min(labeled), max(labeled)
    logarithmic = least > 0 and most / least >= WIDE
    for axes in grid.flat:
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most / least > DECADES else (1, 2, 3, 5, 7)))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(plain_numbers())
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return logarithmic
