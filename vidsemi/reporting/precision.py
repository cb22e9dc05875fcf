"""What the teacher knew: how many pseudo-labels are right by class and rank, where the true labels are known."""

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby

from vidsemi.io.errors import UserError
from vidsemi.pipeline.precision import PRECISION, ClassPrecision, read_precision
from vidsemi.reporting.plot import COLORS, Line, Panel, Plot, Scale
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table
from vidsemi.reporting.selection_files import SelectionFile, selection_files
from vidsemi.reporting.selections import spread

SHARES = ("pseudo-labels", "right %", "first tenth %", "last tenth %")
EXPLANATION = "First and last tenth: of the ranks of each class, the highest-scoring first."
MEANS = "Numbers are means over seeds ± sample standard deviation; precision_classes.csv has all seeds."

Rows = Sequence[ClassPrecision]  # of one selection, sorted by class
Group = list[tuple[SelectionFile, Rows]]  # the seeds of a teacher and variant


def precision_sections(runs: Sequence[RunResults]) -> list[Section]:
    """A section about the selections whose true labels the runs know (`data.unlabeled_labels`), if there are any."""
    groups: dict[str, Group] = {}
    problems = []
    for one in selection_files(runs):
        if (file := one.file.parent.with_name("precision") / PRECISION).is_file():
            try:
                groups.setdefault(one.group, []).append((one, read_precision(file)))
            except UserError as error:  # the rest of the report is still worth writing
                problems.append(str(error))
    groups = {name: group for name, group in groups.items() if group}
    found = [pair for group in groups.values() for pair in group]
    if not found:
        return [Section("Right pseudo-labels", warnings=problems)] if problems else []
    unknown = [
        f"{one.title}: the true label of {selected - known} of {selected} pseudo-labels is not known; these do not "
        "count."
        for one, rows in found
        if (known := _sum(rows, "known")) < (selected := _sum(rows, "selected"))
    ]
    return [
        Section(
            "Right pseudo-labels",
            plots=[precision_plot({name: [rows for _, rows in group] for name, group in groups.items()})],
            tables=_tables(groups),
            text=[EXPLANATION, *([MEANS] if len(found) > len(groups) else []), *unknown],
            warnings=problems,
            data={
                "precision": [
                    {"selection": one.title} | {key: _sum(rows, key) for key in ("right", "known", "selected")}
                    for one, rows in found
                ],
                "precision_classes": [
                    {"run": one.run, "variant": one.variant or None, "seed": one.seed, "teacher": one.teacher}
                    | {"class": label, **{key: _sum(own, key) for key in ("selected", "known", "right")}}
                    | {"first_tenth": _percent(_tenth(own, first=True)), "last_tenth": _percent(_tenth(own))}
                    for one, rows in found
                    for label, own in _by_class(rows).items()
                ],
            },
        )
    ]


def _tables(groups: dict[str, Group]) -> list[Table]:
    """The shares of each teacher, of each seed, and of the classes."""
    tables = [
        Table(
            ("selection", "seeds", *SHARES),
            [(name, str(len(group)), *_shares([rows for _, rows in group])) for name, group in groups.items()],
        )
    ]
    if any(len(group) > 1 for group in groups.values()):
        seeds = [(name, one.seed, *_shares([rows])) for name, group in groups.items() for one, rows in group]
        tables.append(Table(("selection", "seed", *SHARES), seeds, text_columns=2, fold="Each seed"))
    classes = []
    for name, group in groups.items():
        by_class: dict[str, list[Rows]] = {}
        for _, rows in group:
            for label, own in _by_class(rows).items():
                by_class.setdefault(label, []).append(own)
        classes += [(name, label, *_shares(own)) for label, own in by_class.items()]
    tables.append(Table(("selection", "class", *SHARES), classes, text_columns=2, fold="All classes"))
    return tables


def _by_class(rows: Rows) -> dict[str, Rows]:
    return {label: [*own] for label, own in groupby(rows, lambda row: row.label)}


def _shares(seeds: Sequence[Rows]) -> tuple[str, ...]:
    """The columns `SHARES`."""
    parts = (seeds, [_tenth(rows, first=True) for rows in seeds], [_tenth(rows) for rows in seeds])
    shares = ([share for rows in part if (share := _percent(rows)) is not None] for part in parts)
    return (spread([_sum(rows, "selected") for rows in seeds], ",.0f"), *(spread(values, ".1f") for values in shares))


def _sum(rows: Rows, key: str) -> int:
    return sum(getattr(row, key) for row in rows)


def _percent(rows: Rows) -> float | None:
    """How many are right, of those whose true label is known."""
    known = _sum(rows, "known")
    return 100 * _sum(rows, "right") / known if known else None


def _tenth(rows: Rows, *, first: bool = False) -> Rows:
    """The rows with the first or the last tenth of the ranks, at least one of each class."""
    ranks = max(row.last_rank for row in rows) + 1
    if first:
        return [row for row in rows if row.first_rank == 0 or row.last_rank < ranks / 10]
    return [row for row in rows if row.last_rank == ranks - 1 or row.first_rank >= ranks * 9 / 10]


def precision_plot(groups: dict[str, list[Rows]]) -> Plot:
    """The share of right pseudo-labels by rank: a line per teacher, the mean over its seeds, and pale ones of these."""
    lines, end = [], 0
    for number, (name, seeds) in enumerate(groups.items()):
        color = COLORS[number % len(COLORS)]
        curves = [_by_rank(rows) for rows in seeds]
        ranks = sorted({ends for curve in curves for ends in curve})
        end = max([end, *(last for _, last in ranks)])
        shares = [_known(curve.get(ends) for curve in curves) for ends in ranks]
        hover = [
            f"{name}\nranks {first + 1:,}–{last + 1:,}: {spread(known, '.1f') or 'none'}% right"
            for (first, last), known in zip(ranks, shares, strict=True)
        ]
        means = [statistics.fmean(known) if known else math.nan for known in shares]
        lines.append(Line(name, _middles(ranks), means, hover=hover, color=color, symbols=["circle"], size=6))
        if len(seeds) > 1:
            lines += [
                Line(name, _middles(curve), [*curve.values()], color=color, width=1, opacity=0.3) for curve in curves
            ]
    x = Scale("rank within the class (1: highest score)", limits=(0, end + 2))
    y = Scale("right pseudo-labels, %", limits=(0, 104))
    return Plot("share of right pseudo-labels by rank", [Panel(x, y, lines)], height=340)


def _by_rank(rows: Rows) -> dict[tuple[int, int], float]:
    """First and last rank → percentage over all classes; NaN if none is known."""
    found: dict[tuple[int, int], list[ClassPrecision]] = {}
    for row in rows:
        found.setdefault((row.first_rank, row.last_rank), []).append(row)
    shares = {ends: _percent(own) for ends, own in sorted(found.items())}
    return {ends: math.nan if share is None else share for ends, share in shares.items()}


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]


def _middles(ranks: Iterable[tuple[int, int]]) -> list[float]:
    return [(first + last) / 2 + 1 for first, last in ranks]
