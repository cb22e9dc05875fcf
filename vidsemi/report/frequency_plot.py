"""The picture of accuracy against how many examples of a class are in D: a panel a student."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from vidsemi.report.accuracy_plot import COLORS, MARKERS
from vidsemi.report.drawing import file_content, pyplot
from vidsemi.report.frequency import ByFrequency, Group, Tested, split_by_frequency
from vidsemi.report.summary import TEACHERS, Spread

MOST = 6  # students that a picture shows
COLUMNS = 2  # of panels
PANEL = (4.6, 3.5)  # inches
CLASSES_A_POINT = 4  # at least so many, where its group has them
MOST_POINTS = 4  # of a line in a group
MOST_DOTS = 60  # classes that are drawn one by one; more would hide the lines
WIDE = 4  # times the least number of examples, from where on the axis is a log one
DECADES = 30  # times that number, up to where more numbers stand at the axis


def students_of(tested: Sequence[Tested]) -> list[str]:
    """Those that have a panel, in the order of the results: all but teachers, which are in the panels of the others."""
    students = list(dict.fromkeys(own.student for own in tested if own.approach not in TEACHERS))
    return students or list(dict.fromkeys(own.student for own in tested))


def plot_frequency(found: ByFrequency, groups: Sequence[Group], format: str) -> bytes:
    """Draw top-1 against the examples of a class in D, a line an approach; teachers are in each student's panel.

    A point is the mean over classes that are about equally frequent, and over seeds, with a bar of one standard
    deviation; of few classes, each is a pale dot.

    Args:
        found: what the run tells.
        groups: of its D.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    students = students_of(found.tested)[:MOST]
    columns = min(COLUMNS, len(students))
    rows = math.ceil(len(students) / columns)
    size = (max(6.5, PANEL[0] * columns), PANEL[1] * rows + 0.6)
    figure, grid = pyplot().subplots(
        rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    points = [part for group in groups for part in _parts(group, found.labeled)]
    wide = _scale(grid, found.labeled)
    drawn: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(students):
            axes.set_axis_off()
            continue
        if place + columns >= len(students):  # the lowest of its column
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("examples of the class in D (log)" if wide else "examples of the class in D", fontsize=9)
        for own in found.tested:
            if own.student == students[place] or own.approach in TEACHERS:
                drawn.setdefault(own.approach, _draw(axes, own, found.labeled, points))
        axes.set_title(students[place], fontsize=10, pad=16)
        _mark_groups(axes, groups)
    for axes in grid[:, 0]:
        axes.set_ylabel("top-1 accuracy of the class, %", fontsize=9)
    names = [approach.replace("_", "-") for approach in drawn]
    figure.legend([*drawn.values()], names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return file_content(figure, format)


def _parts(group: Group, labeled: Sequence[int]) -> list[list[int]]:
    """The classes of each point of a line in a group."""
    most = max(1, min(MOST_POINTS, len(group.classes) // CLASSES_A_POINT))
    parts = split_by_frequency([labeled[index] for index in group.classes], most)
    return [[group.classes[place] for place in part] for part in parts]


def _draw(axes: Any, own: Tested, labeled: Sequence[int], points: Sequence[Sequence[int]]) -> Any:
    """Draw one line and its dots; returns what the legend shows of it."""
    teacher = own.approach in TEACHERS
    means = [(fmean(labeled[i] for i in classes), own.mean_of(classes)) for classes in points]
    spreads = [(x, Spread.of([*by_seed.values()])) for x, by_seed in means if by_seed]
    line = axes.errorbar(
        [x for x, _ in spreads],
        [spread.mean for _, spread in spreads],
        yerr=[math.nan if spread.deviation is None else spread.deviation for _, spread in spreads],
        color=COLORS.get(own.approach),
        marker=MARKERS.get(own.approach, "o"),
        markersize=5,
        linestyle=":" if teacher else "-",
        linewidth=1 if teacher else 1.5,
        elinewidth=0.9,
        capsize=2,
        zorder=2 if teacher else 3,
    )
    if len(labeled) <= MOST_DOTS and len(points) < len(labeled) and not teacher:
        dots = [(x, fmean(by_seed.values())) for i, x in enumerate(labeled) if (by_seed := own.mean_of([i]))]
        color = line.lines[0].get_color()
        axes.plot([x for x, _ in dots], [y for _, y in dots], ".", color=color, alpha=0.35, markersize=5, zorder=1.5)
    return line


def _mark_groups(axes: Any, groups: Sequence[Group]) -> None:
    """Part the groups by lines, and name the outer ones above the axes, away from what is between them."""
    ends = [math.sqrt(more.least * fewer.most) for more, fewer in pairwise(groups)]
    for end in ends:
        axes.axvline(end, color="#777777", linestyle="--", linewidth=0.7, zorder=1)
    for text, end, side in ((f"{groups[0].name} →", ends[0], "left"), (f"← {groups[-1].name}", ends[-1], "right")):
        place = {"xycoords": ("data", "axes fraction"), "xytext": (4 if side == "left" else -4, 3)}
        style = {"textcoords": "offset points", "ha": side, "fontsize": 8, "color": "#555555"}
        axes.annotate(text, (end, 1), **place, **style, annotation_clip=False)


def _scale(grid: Any, labeled: Sequence[int]) -> bool:
    """One scale for all panels, a log one with round numbers where classes differ much; whether it is that."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    least, most = min(labeled), max(labeled)
    wide = least > 0 and most / least >= WIDE
    for axes in grid.flat:
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most / least > DECADES else (1, 2, 3, 5, 7)))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,g}"))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return wide
