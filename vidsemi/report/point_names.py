"""The names of students in a picture of accuracy, each written once beside its points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vidsemi.report.labels import Box, place_names
from vidsemi.report.summary import TEACHERS, THIS_RUN, Line

INK, PALE = "#222222", "#777777"
FONT = 8  # points
RADIUS = 8.0  # pixels from the middle of a point that names keep off
SAME_PLACE = 5.0  # pixels between columns of points that look like one
CLOSE = 15.0  # pixels from points to a name that needs no line to them
STEPS = 24  # boxes that stand for the line between two points


@dataclass(frozen=True)
class Point:
    """A line's place in the picture; y is its top-1 accuracy."""

    line: Line
    x: float

    @property
    def name(self) -> str:
        """The student's, without its run, which the legend tells."""
        return self.line.student if self.line.source == THIS_RUN else self.line.name

    @property
    def y(self) -> float:
        """Percent."""
        return self.line.top1.mean

    @property
    def deviation(self) -> float:
        """Of y; not a number where it is not known."""
        return math.nan if self.line.top1.deviation is None else self.line.top1.deviation


def write_names(figure: Any, axes: Any, curves: Sequence[Sequence[Point]]) -> None:
    """Write the names of all students but the teachers, whom the legend names.

    A student's points stand above one another, since all approaches train the same network: one name is enough, also
    for several runs.

    Args:
        figure: of matplotlib; all else has been drawn.
        axes: of the points.
        curves: points that lines connect.
    """
    from matplotlib.patheffects import withStroke

    figure.draw_without_rendering()  # until then nothing has a place
    points = [point for curve in curves for point in curve]
    groups = _groups(axes, [point for point in points if point.line.approach not in TEACHERS])
    obstacles = [_column(axes, [point]) for point in points]
    for curve in curves:
        obstacles += _line_boxes([_pixels(axes, point.x, point.y) for point in curve])
    window = axes.get_window_extent()
    bounds = Box(window.x0 + 3, window.y0 + 3, window.x1 - 3, window.y1 - 3)
    sizes = [_size(figure, group[0].name) for group in groups]
    columns = [_column(axes, group, bars=len(group) > 1) for group in groups]
    for group, column, box in zip(groups, columns, place_names(sizes, columns, obstacles, bounds), strict=True):
        x, y = _core(column).nearest(*box.center)
        near, up = box.nearest(x, y)
        axes.annotate(
            group[0].name,
            axes.transData.inverted().transform((x, y)),
            xytext=((box.left - x) * 72 / figure.dpi, (box.bottom - y) * 72 / figure.dpi),
            textcoords="offset points",
            fontsize=FONT,
            color=INK if group[0].line.source == THIS_RUN else PALE,
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.6 if math.hypot(near - x, up - y) > CLOSE else 0,
                "color": PALE,
                "relpos": ((near - box.left) / (box.right - box.left), (up - box.bottom) / (box.top - box.bottom)),
                "shrinkA": 0,
                "shrinkB": 4,
            },
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            in_layout=False,
            zorder=5,
        )


def _groups(axes: Any, points: Sequence[Point]) -> list[list[Point]]:
    """Points that one name stands for: a student's, or a single one where two students' points are in one column."""
    students: dict[tuple[str, str, float], list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        students.setdefault((point.line.source, point.name, point.x), []).append(point)
    groups = []
    for (source, name, x), group in students.items():
        place = _pixels(axes, x, 0)[0]
        shared = any(
            (other_source, other_name) != (source, name)
            and other_source == source
            and abs(_pixels(axes, other_x, 0)[0] - place) < SAME_PLACE
            for other_source, other_name, other_x in students
        )
        groups += [[point] for point in group] if shared else [group]
    return groups


def _pixels(axes: Any, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _column(axes: Any, points: Sequence[Point], bars: bool = True) -> Box:
    """What points above one another cover, with or without their bars."""
    ends = [0.0 if math.isnan(point.deviation) or not bars else point.deviation for point in points]
    x, top = _pixels(axes, points[0].x, max(point.y + end for point, end in zip(points, ends, strict=True)))
    bottom = _pixels(axes, points[0].x, min(point.y - end for point, end in zip(points, ends, strict=True)))[1]
    return Box(x - RADIUS, bottom - RADIUS, x + RADIUS, top + RADIUS)


def _core(column: Box) -> Box:
    """The line from the middle of a column's highest point, or the end of its bar, to that of its lowest."""
    x = (column.left + column.right) / 2
    return Box(x, column.bottom + RADIUS, x, column.top - RADIUS)


def _line_boxes(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes along a line."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        for step in range(STEPS):
            x, y = x0 + (x1 - x0) * step / STEPS, y0 + (y1 - y0) * step / STEPS
            boxes.append(Box(x - 2, y - 2, x + 2, y + 2))
    return boxes


def _size(figure: Any, text: str) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    drawn = figure.text(0, 0, text, fontsize=FONT)
    extent = drawn.get_window_extent(figure.canvas.get_renderer())
    drawn.remove()
    return extent.width, extent.height
