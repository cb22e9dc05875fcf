"""The pictures of accuracy against what it costs: multiply-adds, or time on this machine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.report.drawing import file_content, pyplot
from vidsemi.report.point_names import Point, write_names
from vidsemi.report.summary import TEACHERS, THIS_RUN, Line

COLORS = {  # of Okabe and Ito, told apart by the colour-blind; the markers differ, too
    "supervised": "#7f7f7f",
    "weakly_supervised": "#e69f00",
    "semi_supervised": "#d55e00",
    "semi_weakly_supervised": "#0072b2",
    "semi_supervised_pretrained": "#cc79a7",
    "semi_weakly_supervised_pretrained": "#56b4e9",
    **dict.fromkeys(TEACHERS, "#000000"),
}
MARKERS = {"weakly_supervised": "s", "semi_supervised": "D", "semi_weakly_supervised": "^"}
MARKERS |= {"semi_supervised_pretrained": "v", "semi_weakly_supervised_pretrained": "<"}
MARKERS |= dict(zip(TEACHERS, "*P", strict=True))
SIZES = dict(zip(TEACHERS, (13, 9), strict=True))
FILLS, STYLES = ("full", "left", "right", "bottom", "top"), ("-", "-.", ":")  # of the first run, the second, …
FRONT = "Pareto front"
WIDTHS = {3: 32, 2: 52}  # columns of the legend → characters that fit into one
WIDE = 300  # times the least value, from where on an axis has powers of ten only
LEAST_FACTOR = 2.0  # between the outermost points and the ends of the axis


@dataclass(frozen=True)
class Axis:
    """What accuracy is drawn against.

    Attributes:
        value: a line's place on it, None without one.
        on_front: whether a line is on the Pareto front.
        title: of the axis.
        step: how matplotlib draws the front: paying more than a point costs gains nothing until the next one.
    """

    value: Callable[[Line], float | None]
    on_front: Callable[[Line], bool]
    title: str
    step: str


FLOPS = Axis(
    lambda line: line.gmacs_per_view,
    lambda line: line.pareto_gmacs,
    "billions of multiply-adds per view (log; cheaper to the left)",
    "steps-post",
)
SPEED = Axis(
    lambda line: line.clips_per_second,
    lambda line: line.pareto_speed,
    "clips a second as measured on this machine (log; faster to the right)",
    "steps-pre",
)


def plot_accuracy(lines: Sequence[Line], axis: Axis, format: str) -> bytes:
    """Draw top-1 over a log axis, one line an approach, bars of one standard deviation, and the Pareto front.

    Args:
        lines: those without a place on the axis are left out.
        axis: `FLOPS` or `SPEED`.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    points = [Point(line, x) for line in lines if (x := axis.value(line)) is not None and x > 0]
    figure, axes = pyplot().subplots(figsize=(8, 5.5), layout="constrained")
    curves = _curves(points)
    runs = list(dict.fromkeys(point.line.run for point in points if point.line.source == THIS_RUN))
    for curve in curves:
        _draw_curve(axes, curve, runs)
    front = sorted((point for point in points if axis.on_front(point.line)), key=lambda point: point.x)
    if front:
        axes.plot(
            [point.x for point in front],
            [point.y for point in front],
            label=FRONT,
            color="black",
            linestyle=":",
            linewidth=1.2,
            drawstyle=axis.step,
            marker="o",
            markersize=15,
            markerfacecolor="none",
            markeredgewidth=1.1,
            zorder=1.5,
        )
    _scale(axes, [point.x for point in points])
    axes.margins(y=0.18)
    axes.set_xlabel(axis.title)
    seeds = "\n(mean ± standard deviation over seeds)" if any(point.line.top1.deviation for point in points) else ""
    axes.set_ylabel(f"top-1 accuracy, %{seeds}")
    axes.grid(alpha=0.25)
    _add_legend(figure, axes)
    write_names(figure, axes, curves)
    return file_content(figure, format)


def _curves(points: Iterable[Point]) -> list[list[Point]]:
    """Points that a line connects: of one run and approach, from left to right."""
    curves: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        curves.setdefault((point.line.source, point.line.run, point.line.approach), []).append(point)
    return [sorted(curve, key=lambda point: point.x) for curve in curves.values()]


def _draw_curve(axes: Any, curve: Sequence[Point], runs: Sequence[str]) -> None:
    line = curve[0].line
    ours = line.source == THIS_RUN
    number = runs.index(line.run) if ours else 0
    whose = "" if ours and len(runs) == 1 else f", {line.run}" if ours else " (paper)"
    axes.errorbar(
        [point.x for point in curve],
        [point.y for point in curve],
        yerr=[point.deviation for point in curve],
        label=line.approach.replace("_", "-") + whose,
        color=COLORS.get(line.approach),
        marker=MARKERS.get(line.approach, "o"),
        markersize=SIZES.get(line.approach, 6 if len(runs) == 1 else 8),
        markerfacecolor=None if ours else "white",
        markerfacecoloralt="white",
        fillstyle=FILLS[number % len(FILLS)],
        linestyle=STYLES[number % len(STYLES)] if ours else "--",
        linewidth=1.4 if ours else 0.9,
        elinewidth=0.9,
        capsize=3,
        zorder=3 if ours else 2,
    )


def _add_legend(figure: Any, axes: Any) -> None:
    """A legend below the picture, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = next((columns for columns, longest in WIDTHS.items() if max(map(len, labels)) <= longest), 1)
        entries = sorted(zip(handles, labels, strict=True), key=lambda entry: entry[1] == FRONT)  # the front last
        figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=columns, frameon=False)


def _scale(axes: Any, values: Sequence[float]) -> None:
    """A log axis with round numbers, wide enough that some are on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    if not values:
        return
    factor = max(LEAST_FACTOR, (max(values) / min(values)) ** 0.15)
    axes.set_xlim(min(values) / factor, max(values) * factor)
    wide = max(values) / min(values) > WIDE
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
