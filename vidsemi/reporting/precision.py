"""What the teacher knew: how many pseudo-labels are right by class and rank, where the true labels are known."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.pipeline.precision import PRECISION, ClassPrecision, read_precision
from vidsemi.reporting.plot import GRAY, Line, Panel, Plot, Scale
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table
from vidsemi.reporting.selections import selection_files

HEADER = ("class", "selected", "right %", "first tenth %", "last tenth %")
MOST_LINES = 20  # classes that have lines of their own in the plot
ALT = "share of right pseudo-labels by rank"


def precision_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per selection whose true labels the run knows (`data.unlabeled_labels`)."""
    sections = []
    for run in runs:
        for file, title in selection_files(run, several=len(runs) > 1):
            if (precision := file.parent.with_name("precision") / PRECISION).is_file():
                sections.append(_section(f"Right pseudo-labels: {title}", precision))
    return sections


def _section(title: str, file: Path) -> Section:
    try:
        rows = read_precision(file)
    except UserError as error:  # the rest of the report is still worth writing
        return Section(title, warnings=[str(error)])
    classes = {label: [*own] for label, own in groupby(rows, lambda row: row.label)}
    table = [
        (label, str(sum(row.selected for row in own)), *map(_percent, (own, _tenth(own, first=True), _tenth(own))))
        for label, own in classes.items()
    ]
    right, known, selected = (sum(getattr(row, name) for row in rows) for name in ("right", "known", "selected"))
    notes = [
        f"{_percent(rows)}% of the pseudo-labels are right; of the highest-scoring tenth of the ranks of each class "
        f"{_percent(_tenth(rows, first=True))}%, of the last tenth {_percent(_tenth(rows))}%."
    ]
    if known < selected:
        notes.append(
            f"The true label of {selected - known} of {selected} pseudo-labels is not known; they do not count."
        )
    return Section(
        title,
        plots=[precision_plot(classes)],
        tables=[Table(HEADER, table, fold="All classes")],
        text=notes,
        data={"precision": [{"selection": title, "right": right, "known": known, "selected": selected}]},
    )


def _percent(rows: Sequence[ClassPrecision]) -> str:
    known = sum(row.known for row in rows)
    return f"{100 * sum(row.right for row in rows) / known:.1f}" if known else ""


def _tenth(rows: Sequence[ClassPrecision], *, first: bool = False) -> list[ClassPrecision]:
    """The rows with the first or the last tenth of the ranks, at least one of each class."""
    ranks = max(row.last_rank for row in rows) + 1
    if first:
        return [row for row in rows if row.first_rank == 0 or row.last_rank < ranks / 10]
    return [row for row in rows if row.last_rank == ranks - 1 or row.first_rank >= ranks * 9 / 10]


def precision_plot(classes: dict[str, list[ClassPrecision]]) -> Plot:
    """The share of right pseudo-labels by rank, of each class and of all."""
    known, right = (
        np.array([[getattr(row, name) for row in own] for own in classes.values()]) for name in ("known", "right")
    )
    bins = next(iter(classes.values()))
    middles = [(row.first_rank + row.last_rank) / 2 + 1 for row in bins]
    names = [f"{row.first_rank + 1:,}–{row.last_rank + 1:,}" for row in bins]

    def line(name: str, known: np.ndarray, right: np.ndarray, **style: Any) -> Line:
        with np.errstate(invalid="ignore"):
            share = (100 * right / known).tolist()
        hover = [f"{name}\nranks {ranks}: {value:.1f}% right" for ranks, value in zip(names, share, strict=True)]
        return Line(name, middles, share, hover=hover, **style)

    lines = []
    if len(classes) <= MOST_LINES:
        lines = [
            replace(line(label, *own, color=GRAY, width=1, opacity=0.5), name="each class")
            for label, *own in zip(classes, known, right, strict=True)
        ]
    lines.append(line("all classes", known.sum(axis=0), right.sum(axis=0), symbols=["circle"]))
    x = Scale("rank within the class (1: highest score)", limits=(0, bins[-1].last_rank + 2))
    return Plot(ALT, [Panel(x, Scale("right pseudo-labels, %", limits=(0, 104)), lines)], height=340)
