"""Accuracy of the variants of a study: a plot with intervals, beside the table that all results share."""

import math
from collections.abc import Sequence
from typing import Any

from vidsemi.reporting.accuracy_plot import APPROACH_COLORS, OTHER, approach_name
from vidsemi.reporting.gains import confidence_interval
from vidsemi.reporting.plot import SYMBOLS, Line, Panel, Plot, Scale, plot_names
from vidsemi.reporting.results import RunResults, group_rows
from vidsemi.reporting.section import Section

FILE = "variants"
WIDE = 20  # ratio of the largest to the smallest number from which on the axis is logarithmic
NOTE = "Means over seeds with 95% confidence intervals (Student's t); a single seed has none."


def variant_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run that is a study."""
    sections = []
    for run, name in zip(runs, plot_names(FILE, [run.name for run in runs]), strict=True):
        if rows := [row for row in run.rows if row.get("variant")]:
            title = f"Accuracy against {rows[0].get('varied', 'variant')}"
            title += f", {run.name}" if len(runs) > 1 else ""
            sections.append(Section(title, plots=[variant_plot(rows, title, name)], text=[NOTE]))
    return sections


def variant_plot(rows: Sequence[dict[str, Any]], alt: str, name: str) -> Plot:
    """Top-1 of each student and approach against the variants."""
    names = [*dict.fromkeys(row["variant"] for row in rows)]
    numbers = [_number(name) for name in names]
    numeric = all(number is not None for number in numbers)
    values = [number if numeric and number is not None else place for place, number in enumerate(numbers)]
    places = dict(zip(names, values, strict=True))
    students = [*dict.fromkeys(row["student"] for row in rows)]
    lines = []
    for (student, approach), own in group_rows(rows, "student", "approach").items():
        points = sorted(
            (places[variant], variant, [row["top1"] for row in of_variant])
            for (variant,), of_variant in group_rows(own, "variant").items()
        )
        label = f"{student}, {approach_name(approach)}" if len(students) > 1 else approach_name(approach)
        intervals = [confidence_interval(top1) for _, _, top1 in points]
        means = [sum(top1) / len(top1) for _, _, top1 in points]
        lines.append(
            Line(
                label,
                [place for place, _, _ in points],
                means,
                errors=[
                    math.nan if high is None else high - mean for (_, high), mean in zip(intervals, means, strict=True)
                ],
                hover=[
                    f"{label}\n{variant}: {mean:.1f}% top-1"
                    + ("" if low is None else f", 95% interval {low:.1f} to {high:.1f}, {len(top1)} seeds")
                    for (_, variant, top1), mean, (low, high) in zip(points, means, intervals, strict=True)
                ],
                color=APPROACH_COLORS.get(approach, OTHER),
                symbols=[SYMBOLS[students.index(student) % len(SYMBOLS)]],
            )
        )
    log = numeric and min(values) > 0 and max(values) / min(values) > WIDE
    spare = 0.04 * (max(values) - min(values)) or 0.5
    limits = None if log else (min(values) - spare, max(values) + spare)
    ticks = [*zip(values, names, strict=True)]
    x = Scale(str(rows[0].get("varied", "variant")), log=log, limits=limits, ticks=ticks)
    ends = [
        y + side * (0 if math.isnan(error) else error)
        for line in lines
        for y, error in zip(line.y, line.errors, strict=True)
        for side in (-1, 1)
    ]
    room = max(1.0, 0.05 * (max(ends) - min(ends)))
    bottom, top = max(min(ends) - room, 0), min(max(ends) + room, 100)  # two or three seeds' reach beyond what there is
    return Plot(alt, [Panel(x, Scale("top-1 accuracy, %", limits=(bottom, top)), lines)], name=name, png=True)


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
