"""The pseudo-labeled sets that runs selected: size, warnings, and the candidates of each class."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.reporting.plot import GRAY, INK, Line, Panel, Plot, Scale, log_scale
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table
from vidsemi.reporting.selection_files import SelectionFile, notes_by_seed, selection_files
from vidsemi.selection.describe import CLASS_HEADER, class_rows, classes, metrics, summary, warnings
from vidsemi.selection.info import SelectionInfo
from vidsemi.selection.result import read_selection_info

COUNTS = ("candidates", "pseudo-labels", "examples", "% of unlabeled", "short classes", "lowest score")
MEANS = "Numbers are means over seeds ± sample standard deviation; selection_classes.csv has all seeds."
MOST_OPEN = 2  # plots at once: the teachers of a run; those of more variants are folded
MOST_NAMES = 40  # classes whose names still fit below an axis
WIDE = 20  # ratio of the largest to the smallest count from which on the axis is logarithmic

Group = list[tuple[SelectionFile, SelectionInfo]]  # the seeds of a teacher and variant


def selection_sections(runs: Sequence[RunResults]) -> list[Section]:
    """A section about the selections in the runs' directories, if there are any."""
    groups: dict[str, Group] = {}
    problems = []
    for one in selection_files(runs):
        try:
            groups.setdefault(one.group, []).append((one, read_selection_info(one.file)))
        except UserError as error:  # the rest of the report is still worth writing
            problems.append(str(error))
    groups = {name: group for name, group in groups.items() if group}
    if not groups:
        return [Section("Selections", warnings=problems)] if problems else []
    found = [pair for group in groups.values() for pair in group]
    plots = [selection_plot([info for _, info in group], name) for name, group in groups.items()]
    if len(found) == 1:
        notes = summary(found[0][1])
    else:
        policies = {name: [*dict.fromkeys(summary(info)[0] for _, info in group)] for name, group in groups.items()}
        same = len({text for texts in policies.values() for text in texts}) == 1
        notes = [text if same else f"{name}: {text}" for name, texts in policies.items() for text in texts]
        notes = [*dict.fromkeys(notes), *([MEANS] if len(found) > len(groups) else [])]
    notes = [*notes, "Short classes have fewer pseudo-labels than wanted."]
    return [
        Section(
            "Selections",
            plots=[*plots[:MOST_OPEN], *(replace(plot, fold=plot.alt) for plot in plots[MOST_OPEN:])],
            tables=_tables(groups),
            text=notes,
            warnings=[*problems, *notes_by_seed((one, text) for one, info in found for text in warnings(info))],
            data={
                "selections": [_place(one) | metrics(info) for one, info in found],
                "selection_classes": [_place(one) | row for one, info in found for row in classes(info)],
            },
        )
    ]


def _place(one: SelectionFile) -> dict[str, Any]:
    return {"run": one.run, "variant": one.variant or None, "seed": one.seed, "teacher": one.teacher}


def _tables(groups: dict[str, Group]) -> list[Table]:
    """Counts of each teacher and of each seed, and the classes."""
    several = any(len(group) > 1 for group in groups.values())
    rows = [(name, str(len(group)), *_counts([info for _, info in group])) for name, group in groups.items()]
    seeds = [(name, one.seed, *_counts([info])) for name, group in groups.items() for one, info in group]
    by_class = [
        ([name] if len(groups) > 1 else []) + [*row]
        for name, group in groups.items()
        for row in _class_rows([info for _, info in group])
    ]
    columns = ("selection", *CLASS_HEADER) if len(groups) > 1 else CLASS_HEADER
    tables = [Table(("selection", "seeds", *COUNTS), rows)]
    if several:
        tables.append(Table(("selection", "seed", *COUNTS), seeds, text_columns=2, fold="Each seed"))
    tables.append(Table(columns, [*map(tuple, by_class)], text_columns=len(columns) - 4, fold="All classes"))
    return tables


def _counts(infos: Sequence[SelectionInfo]) -> tuple[str, ...]:
    lowest = [min(known) for info in infos if (known := [s for s in info.last_score_per_class if s is not None])]
    return (
        spread([sum(info.candidates_per_class) for info in infos], ",.0f"),
        spread([sum(info.chosen_per_class) for info in infos], ",.0f"),
        spread([info.chosen for info in infos], ",.0f"),
        spread([100 * info.share_of_unlabeled for info in infos], ".1f"),
        spread([len(info.short_classes) for info in infos], ".3g"),
        spread(lowest, ".3f"),
    )


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± sample standard deviation; without the latter of equal values or a single one, empty of none."""
    if not values:
        return ""
    mean = format(statistics.fmean(values), form)
    return mean if len({*values}) == 1 else f"{mean} ± {statistics.stdev(values):{form}}"


def _class_rows(infos: Sequence[SelectionInfo]) -> list[tuple[str, ...]]:
    """The table under `CLASS_HEADER`, most candidates first; means over seeds."""
    if len(infos) == 1:
        return class_rows(infos[0])
    rows = []
    for name, own in _by_class(infos).items():
        last = [row["last_score"] for row in own if row["last_score"] is not None]
        rows.append((name, *(spread(_column(own, key), ",.0f") for key in CLASS_HEADER[1:4]), spread(last, ".4f")))
    return rows


def _by_class(infos: Sequence[SelectionInfo]) -> dict[str, list[dict[str, Any]]]:
    """Class → its row of each seed; those with most candidates first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for info in infos:
        for row in classes(info):
            found.setdefault(row["class"], []).append(row)
    return dict(sorted(found.items(), key=lambda item: -statistics.fmean(_column(item[1], "candidates"))))


def _column(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [row[key] for row in rows]


def selection_section(title: str, info: SelectionInfo) -> Section:
    """Size, warnings and the candidates of each class of a selection."""
    return Section(
        title,
        plots=[selection_plot([info])],
        tables=[Table(CLASS_HEADER, class_rows(info), fold="All classes")],
        text=summary(info),
        warnings=warnings(info),
    )


def selection_plot(infos: Sequence[SelectionInfo], name: str = "") -> Plot:
    """The candidates, selected examples and lowest selected score of each class: means over seeds, bars for seeds.

    Args:
        infos: the selections of one or more seeds.
        name: of the teacher, if the reader must be told.
    """
    by_class = _by_class(infos)
    names, rows = [*by_class], [*by_class.values()]
    places = [*range(len(names))]
    columns = [[_column(own, key) for own in rows] for key in ("candidates", "wanted", "chosen")]
    last = [[row["last_score"] for row in own if row["last_score"] is not None] for own in rows]
    candidates, wanted, chosen = ([*map(statistics.fmean, column)] for column in columns)
    hover = [
        f"{name}\n{few} of {wanted_} selected, from {many} candidates"
        + (f"\nlowest selected score {spread(scores, '.3f')}" if scores else "")
        for name, many, wanted_, few, scores in zip(
            names, *([spread(values, ",.0f") for values in column] for column in columns), last, strict=True
        )
    ]
    bars = _bars(columns[0])
    tops = [mean + bar for mean, bar in zip(candidates, bars, strict=True) if not math.isnan(bar)]
    log, counts = _count_scale([*candidates, *wanted, *chosen, *tops])
    lines = [
        Line("selected", places, [*map(log, chosen)], shape="hvh", width=1, filled=True, hover=hover),
        Line("candidates", places, [*map(log, candidates)], bars, hover=hover, color=GRAY, shape="hvh"),
        Line("wanted", places, [*map(log, wanted)], color=INK, dash="dash", shape="hvh"),
    ]
    named = [*zip(places, names, strict=True)] if len(names) <= MOST_NAMES else [(-1.0, "")]
    x = Scale("classes, most candidates first", limits=(-0.6, len(names) - 0.4), ticks=named)
    means = [statistics.fmean(scores) if scores else math.nan for scores in last]
    dots = Line("", places, means, _bars(last), hover, dash="", symbols=["circle"], size=6)
    alt = "candidates and selected examples of each class"
    return Plot(
        f"{name}: {alt}" if name else alt,
        [
            Panel(x, counts, lines, title=name),
            Panel(x, Scale("lowest selected score", limits=(0, 1.03)), [dots], title="\u00a0" if name else ""),
        ],
        columns=2,
        height=340,
    )


def _bars(columns: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.stdev(values) if len(values) > 1 else math.nan for values in columns]


def _count_scale(counts: Sequence[float]) -> tuple[Callable[[float], float], Scale]:
    """An axis for numbers of examples that may be 0, and where a number stands on it."""
    known = [count for count in counts if count]
    if not known or max(known) / min(known) < WIDE:
        return float, Scale("examples", limits=(0, max([*known, 1]) * 1.06))
    scale = log_scale("examples (log scale)", known)
    floor, top = 10.0 ** math.floor(math.log10(min(known)) - 0.5), max(known) * 1.3
    ticks = [(floor, "0"), *((value, text) for value, text in scale.ticks if floor < value <= top)]
    return lambda count: count or floor, replace(scale, limits=(floor, top), ticks=ticks)
