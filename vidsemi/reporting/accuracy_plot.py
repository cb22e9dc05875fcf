"""Figures of accuracy against cost: multiply-adds, or time on this machine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.reporting.plotting import BLUE, GRAY, plain_numbers, pyplot, save
from vidsemi.reporting.results import TEACHERS, Result

COLORS = {
    "supervised": GRAY,
    "weakly_supervised": "#e69f00",
    "semi_supervised": "#d55e00",
    "semi_weakly_supervised": BLUE,
    "semi_supervised_pretrained": "#cc79a7",
    "semi_weakly_supervised_pretrained": "#56b4e9",
    **dict.fromkeys(TEACHERS, "#000000"),
}
OTHER = "#009e73"  # of an approach that this version does not know
MARKERS = "os^Dv<>hpd8"  # of the students
TEACHER_MARKERS = dict(zip(TEACHERS, "*P", strict=True))
SIZES = {"*": 13, "P": 9}
LINE_STYLES, FILL_STYLES = ("-", "-.", ":"), ("full", "left", "right", "bottom", "top")  # of the first run, the second…
WIDE = 300  # ratio of the largest to the smallest value from which on the axis shows powers of ten only
DODGE = 5  # points between the approaches of a student, whose error bars would cover one another
COLUMNS = {3: 25, 2: 43}  # of a legend → longest text that fits into one
ENTRY_HEIGHT = 0.19  # of a legend, in inches
LEGEND = {"frameon": False, "fontsize": 9}
FRONT_LINE = {"color": "black", "linestyle": ":", "linewidth": 1.2}
FRONT_RING = {"marker": "o", "markersize": 15, "markerfacecolor": "none", "markeredgewidth": 1.1}


@dataclass(frozen=True)
class Axis:
    """What accuracy is plotted against."""

    file: str  # name of the figure's file, without suffix
    title: str
    hint: str  # which end is better
    value: Callable[[Result], float | None]
    on_front: Callable[[Result], bool | None]
    step: str  # how matplotlib draws the front: a student that costs more gains nothing until the next point


FLOPS = Axis(
    "accuracy_flops",
    "billions of multiply-adds per view",
    "log scale; cheaper to the left",
    lambda result: result.gmacs_per_view,
    lambda result: result.pareto_gmacs,
    "steps-post",
)
SPEED = Axis(
    "accuracy_speed",
    "clips per second on this machine",
    "log scale; faster to the right",
    lambda result: result.clips_per_second,
    lambda result: result.pareto_speed,
    "steps-pre",
)


def plot_accuracy(results: Sequence[Result], axis: Axis, format: str) -> bytes:
    """Plot top-1 against cost as svg or png: a color per approach, a marker per student, and the Pareto front.

    Results without a place on the axis are left out.
    """
    shown = [result for result in results if _place(result, axis) > 0]
    figure, axes = pyplot().subplots(figsize=(8, 4.6), layout="constrained")
    _scale(axes, shown, axis)
    style = _Style(shown, axis)
    curves: dict[str, list[Result]] = {}
    for result in shown:
        curves.setdefault(style.label(result), []).append(result)
    handles = {label: _draw_curve(axes, style, curve, axis) for label, curve in curves.items()}
    if front := sorted((_place(result, axis), result.top1.mean) for result in shown if axis.on_front(result)):
        axes.plot(*zip(*front, strict=True), drawstyle=axis.step, zorder=1.5, **FRONT_LINE)
        handles["Pareto front"] = pyplot().Line2D([], [], **FRONT_LINE, **FRONT_RING)
    axes.set_xlabel(f"{axis.title} ({axis.hint})")
    seeds = "\n(mean ± standard deviation over seeds)" if any(result.top1.deviation for result in shown) else ""
    axes.set_ylabel(f"top-1 accuracy, %{seeds}")
    axes.grid(alpha=0.25)
    for entries, place, length in ((style.student_handles(), "upper", 1), (handles, "lower", 3)):
        if entries:
            columns = next((n for n, width in COLUMNS.items() if max(map(len, entries)) <= width), 1)
            place = f"outside {place} center"
            figure.set_figheight(figure.get_figheight() + ENTRY_HEIGHT * math.ceil(len(entries) / columns))
            figure.legend(entries.values(), entries, loc=place, ncols=columns, handlelength=length, **LEGEND)
    return save(figure, format)


def _place(result: Result, axis: Axis) -> float:
    return axis.value(result) or 0.0


class _Style:
    """How results look: the approach decides the color, the student the marker, the run the line and the filling."""

    def __init__(self, shown: Sequence[Result], axis: Axis):
        self.runs = list(dict.fromkeys(result.run for result in shown if result.ours))
        students = [result for result in shown if result.approach not in TEACHERS]
        students.sort(key=lambda result: _place(result, axis))
        names = list(dict.fromkeys(self.student(result) for result in students))
        self.markers = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}
        approaches = dict.fromkeys(result.approach for result in students)
        self.approaches = [approach for approach in COLORS if approach in approaches and approach not in TEACHERS]
        self.approaches += [approach for approach in approaches if approach not in COLORS]
        self.taken = {_place(result, axis) for result in students}

    @staticmethod
    def student(result: Result) -> str:
        return result.student if result.ours else result.name

    def label(self, result: Result) -> str:
        source = " (paper)" if not result.ours else "" if len(self.runs) == 1 else f", {result.run}"
        return result.approach.replace("_", "-") + source

    def line(self, result: Result) -> dict[str, Any]:
        number = self.runs.index(result.run) if result.ours else 0
        return {
            "color": COLORS.get(result.approach, OTHER),
            "linestyle": LINE_STYLES[number % len(LINE_STYLES)] if result.ours else "--",
            "linewidth": 1.4 if result.ours else 0.9,
            "zorder": 3 if result.ours else 2,
        }

    def marker(self, result: Result) -> dict[str, Any]:
        number = self.runs.index(result.run) if result.ours else 0
        marker = TEACHER_MARKERS.get(result.approach) or self.markers[self.student(result)]
        return {
            "marker": marker,
            "markersize": SIZES.get(marker, 7),
            "markerfacecolor": COLORS.get(result.approach, OTHER) if result.ours else "white",
            "markerfacecoloralt": "white",
            "fillstyle": FILL_STYLES[number % len(FILL_STYLES)],
        }

    def dodge(self, axes: Any, approach: str, place: float) -> Any:
        """The axes' transform, moved a little sideways: approaches side by side, teachers left of students."""
        from matplotlib.transforms import ScaledTranslation

        steps = -(len(self.approaches) - 1) / 2
        if approach not in TEACHERS:
            steps += self.approaches.index(approach)
        else:
            steps = steps - 1 - TEACHERS.index(approach) if place in self.taken else 0
        return axes.transData + ScaledTranslation(DODGE * steps / 72, 0, axes.figure.dpi_scale_trans)

    def student_handles(self) -> dict[str, Any]:
        style = {"linestyle": "", "color": "#444444", "markersize": 7}
        return {name: pyplot().Line2D([], [], marker=marker, **style) for name, marker in self.markers.items()}


def _draw_curve(axes: Any, style: _Style, curve: Sequence[Result], axis: Axis) -> Any:
    """Draw the students of a run and approach; returns what the legend shows."""
    curve = sorted(curve, key=lambda result: _place(result, axis))
    line, transform = style.line(curve[0]), style.dodge(axes, curve[0].approach, _place(curve[0], axis))
    axes.plot([_place(r, axis) for r in curve], [r.top1.mean for r in curve], transform=transform, **line)
    for result in curve:
        x, y, deviation = _place(result, axis), result.top1.mean, result.top1.deviation
        if axis.on_front(result):
            axes.plot(x, y, transform=transform, zorder=1.5, color="black", **FRONT_RING)
        if deviation is not None:
            axes.errorbar(x, y, yerr=deviation, elinewidth=0.9, capsize=3, transform=transform, **line)
        axes.plot(x, y, transform=transform, **line, **style.marker(result))
    of_teacher = {**style.marker(curve[0]), "linestyle": ""} if curve[0].approach in TEACHERS else {}
    return pyplot().Line2D([], [], **{**line, "linewidth": 2, **of_teacher})


def _scale(axes: Any, shown: Sequence[Result], axis: Axis) -> None:
    """Set a log axis with round numbers, wide enough to show some of them, and room around the error bars."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(plain_numbers())
    axes.xaxis.set_minor_locator(NullLocator())
    if not shown:
        return
    values = [_place(result, axis) for result in shown]
    ratio = max(values) / min(values)
    margin = max(2.0, ratio**0.15)
    axes.set_xlim(min(values) / margin, max(values) * margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if ratio > WIDE else (1, 2, 5)))
    least = min(result.top1.mean - (result.top1.deviation or 0) for result in shown)
    most = max(result.top1.mean + (result.top1.deviation or 0) for result in shown)
    room = max(1.0, 0.08 * (most - least))
    axes.set_ylim(least - room, most + room)
