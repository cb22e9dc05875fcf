"""Plots of accuracy against cost: multiply-adds, or time on this machine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from vidsemi.reporting.plot import BLUE, GRAY, INK, SYMBOLS, Line, Panel, Plot, Scale, log_scale, rounded
from vidsemi.reporting.results import TEACHERS, Result

APPROACH_COLORS = {
    "supervised": GRAY,
    "weakly_supervised": "#e69f00",
    "semi_supervised": "#d55e00",
    "semi_weakly_supervised": BLUE,
    "semi_supervised_pretrained": "#cc79a7",
    "semi_weakly_supervised_pretrained": "#56b4e9",
    **dict.fromkeys(TEACHERS, INK),
}
OTHER = "#009e73"  # of an approach that this version does not know
TEACHER_SYMBOLS = dict(zip(TEACHERS, ("star", "cross"), strict=True))
DASHES = ("solid", "dashdot", "dot")  # of the first run, the second…
DODGE = 0.012  # of the axis, between the approaches of a student, whose error bars would cover one another
FRONT = "Pareto front"


@dataclass(frozen=True)
class Cost:
    """What accuracy is plotted against."""

    file: str  # name of the plot's files, without suffix
    title: str
    hint: str  # which end is better
    unit: str
    value: Callable[[Result], float | None]
    on_front: Callable[[Result], bool | None]
    shape: str  # of the front: a student that costs more gains nothing until the next point


FLOPS = Cost(
    "accuracy_flops",
    "billions of multiply-adds per view",
    "log scale; cheaper to the left",
    "GMAC per view",
    lambda result: result.gmacs_per_view,
    lambda result: result.pareto_gmacs,
    "hv",
)
SPEED = Cost(
    "accuracy_speed",
    "clips per second on this machine",
    "log scale; faster to the right",
    "clips per second",
    lambda result: result.clips_per_second,
    lambda result: result.pareto_speed,
    "vh",
)


def approach_name(approach: str) -> str:
    """An approach as the paper writes it."""
    return approach.replace("_", "-")


def accuracy_plot(results: Sequence[Result], cost: Cost, suffix: str = "") -> Plot:
    """Top-1 against cost: a color per approach, a symbol per student, and the Pareto front.

    Results without a place on the axis are left out. Files get the name of `cost` with `suffix`.
    """
    shown = [result for result in results if _place(result, cost) > 0]
    scale = log_scale(f"{cost.title} ({cost.hint})", [_place(result, cost) for result in shown])
    style = _Style(shown, cost, scale)
    curves: dict[str, list[Result]] = {}
    for result in sorted(shown, key=lambda result: _place(result, cost)):
        curves.setdefault(style.label(result), []).append(result)
    lines = [_curve(style, label, curve, cost) for label, curve in curves.items()]
    lines.sort(key=lambda line: line.color == INK)  # teachers last in the legend
    if front := sorted((result for result in shown if cost.on_front(result)), key=lambda r: _place(r, cost)):
        xs, ys = [_place(result, cost) for result in front], [result.top1.mean for result in front]
        rings = [style.dodged(result) for result in front]
        lines = [
            Line(FRONT, xs, ys, color=INK, dash="dot", width=1.2, shape=cost.shape, opacity=0.7),
            Line(FRONT, rings, ys, color=INK, dash="", symbols=["circle"], size=17, hollow=True, opacity=0.7),
            *lines,
        ]
    seeds = " (mean ± std over seeds)" if any(result.top1.deviation for result in shown) else ""
    alt = f"top-1 accuracy against {cost.title}"
    key = [(symbol, name) for name, symbol in style.symbols.items()]
    panel = Panel(scale, Scale(f"top-1 accuracy, %{seeds}", limits=_limits(shown)), lines)
    return Plot(alt, [panel], key=key, name=f"{cost.file}{suffix}", png=True)


def _place(result: Result, cost: Cost) -> float:
    return cost.value(result) or 0.0


def _limits(shown: Sequence[Result]) -> tuple[float, float] | None:
    """Room around the error bars."""
    if not shown:
        return None
    least = min(result.top1.mean - (result.top1.deviation or 0) for result in shown)
    most = max(result.top1.mean + (result.top1.deviation or 0) for result in shown)
    room = max(1.0, 0.08 * (most - least))
    return least - room, most + room


class _Style:
    """How results look: the approach decides the color, the student the symbol, the run the line."""

    def __init__(self, shown: Sequence[Result], cost: Cost, scale: Scale):
        self._cost = cost
        low, high = scale.limits or (1, 1)
        self._step = (high / low) ** DODGE
        self._runs = list(dict.fromkeys(result.run for result in shown if result.ours))
        students = [result for result in shown if result.approach not in TEACHERS]
        students.sort(key=lambda result: _place(result, cost))
        names = list(dict.fromkeys(map(self._student, students)))
        self.symbols = dict(zip(names, cycle(SYMBOLS), strict=False))
        approaches = dict.fromkeys(result.approach for result in students)
        self._approaches = [one for one in APPROACH_COLORS if one in approaches and one not in TEACHERS]
        self._approaches += [one for one in approaches if one not in APPROACH_COLORS]
        self._taken = {_place(result, cost) for result in students}

    @staticmethod
    def _student(result: Result) -> str:
        return result.student if result.ours else result.name

    def label(self, result: Result) -> str:
        """The name of a result's line in the legend."""
        source = " (paper)" if not result.ours else "" if len(self._runs) == 1 else f", {result.run}"
        return approach_name(result.approach) + source

    def symbol(self, result: Result) -> str:
        return TEACHER_SYMBOLS.get(result.approach) or self.symbols[self._student(result)]

    def dash(self, result: Result) -> str:
        return DASHES[self._runs.index(result.run) % len(DASHES)] if result.ours else "dash"

    def dodged(self, result: Result) -> float:
        """The place of a result, a little sideways: approaches side by side, teachers left of students."""
        place, steps = _place(result, self._cost), -(len(self._approaches) - 1) / 2
        if result.approach not in TEACHERS:
            steps += self._approaches.index(result.approach)
        else:
            steps = steps - 1 - TEACHERS.index(result.approach) if place in self._taken else 0
        return float(place * self._step**steps)


def _curve(style: _Style, label: str, curve: Sequence[Result], cost: Cost) -> Line:
    """The students of a run and approach."""
    first = curve[0]
    teacher = first.approach in TEACHERS
    return Line(
        label,
        [style.dodged(result) for result in curve],
        [result.top1.mean for result in curve],
        errors=[math.nan if (error := result.top1.deviation) is None else error for result in curve],
        hover=[_hover(result, cost) for result in curve],
        color=APPROACH_COLORS.get(first.approach, OTHER),
        dash="" if teacher else style.dash(first),
        width=1.4 if first.ours else 0.9,
        symbols=[style.symbol(result) for result in curve],
        size=9,
        hollow=not first.ours,
    )


def _hover(result: Result, cost: Cost) -> str:
    seeds = f", {result.seeds} seeds" if (result.seeds or 0) > 1 else ""
    lines = [
        f"{result.name}, {approach_name(result.approach)}" if result.approach not in TEACHERS else result.name,
        f"{result.top1}% top-1{seeds}",
        f"{rounded(_place(result, cost))} {cost.unit}",
    ]
    return "\n".join(lines)
