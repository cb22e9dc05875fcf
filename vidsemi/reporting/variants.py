"""Accuracy of the variants of a study: a figure with intervals, beside the table that all results share."""

from collections.abc import Sequence
from typing import Any

from vidsemi.reporting.accuracy_plot import COLORS, MARKERS, OTHER
from vidsemi.reporting.gains import confidence_interval
from vidsemi.reporting.plotting import figure_names, plain_numbers, pyplot, save
from vidsemi.reporting.results import RunResults, group_rows
from vidsemi.reporting.section import Figure, Section

FILE = "variants"
WIDE = 20  # ratio of the largest to the smallest number from which on the axis is logarithmic
NOTE = "Means over seeds with 95% confidence intervals (Student's t); a single seed has none."


def variant_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run that is a study."""
    sections = []
    for run, name in zip(runs, figure_names(FILE, [run.name for run in runs]), strict=True):
        if rows := [row for row in run.rows if row.get("variant")]:
            title = f"Accuracy against {rows[0].get('varied', 'variant')}"
            svg, png = (plot_variants(rows, kind) for kind in ("svg", "png"))
            title += f", {run.name}" if len(runs) > 1 else ""
            sections.append(Section(title, figures=[Figure(title, svg, png, name=name)], text=[NOTE]))
    return sections


def plot_variants(rows: Sequence[dict[str, Any]], format: str) -> bytes:
    """Plot top-1 of each student and approach against the variants, as svg or png."""
    figure, axes = pyplot().subplots(figsize=(8, 4.6), layout="constrained")
    names = [*dict.fromkeys(row["variant"] for row in rows)]
    numbers = [_number(name) for name in names]
    numeric = all(number is not None for number in numbers)
    places = dict(zip(names, numbers if numeric else range(len(names)), strict=True))
    students = [*dict.fromkeys(row["student"] for row in rows)]
    for (student, approach), own in group_rows(rows, "student", "approach").items():
        points = [
            (places[variant], [row["top1"] for row in of_variant])
            for (variant,), of_variant in group_rows(own, "variant").items()
        ]
        points.sort()
        xs, ys = zip(*((x, sum(top1) / len(top1)) for x, top1 in points), strict=True)
        halves = [
            0.0 if (ends := confidence_interval(top1))[0] is None else ends[1] - y
            for (_, top1), y in zip(points, ys, strict=True)
        ]
        axes.errorbar(
            xs,
            ys,
            yerr=halves,
            capsize=3,
            elinewidth=0.9,
            color=COLORS.get(approach, OTHER),
            marker=MARKERS[students.index(student) % len(MARKERS)],
            label=f"{student}, {approach.replace('_', '-')}" if len(students) > 1 else approach.replace("_", "-"),
        )
    values = [value for value in places.values() if value is not None]
    if numeric:
        if min(values) > 0 and max(values) / min(values) > WIDE:
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(plain_numbers())
        axes.set_xticks(values)
        axes.minorticks_off()
    else:
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel(rows[0].get("varied", "variant"))
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, 0), min(top, 100))  # intervals of two or three seeds reach beyond what there is
    axes.set_ylabel("top-1 accuracy, %\n(mean, 95% interval over seeds)")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return save(figure, format)


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
