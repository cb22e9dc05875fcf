"""The pseudo-labeled sets that runs selected: size, warnings, and the candidates of each class."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.reporting.plot import GRAY, INK, Line, Panel, Plot, Scale, log_scale
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table
from vidsemi.selection.describe import CLASS_HEADER, class_rows, summary, warnings
from vidsemi.selection.info import SelectionInfo
from vidsemi.selection.result import read_selection_info

MOST_NAMES = 40  # classes whose names still fit below an axis
WIDE = 20  # ratio of the largest to the smallest count from which on the axis is logarithmic


def selection_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per selection in the runs' directories."""
    sections = []
    for run in runs:
        for file, title in selection_files(run, several=len(runs) > 1):
            try:
                sections.append(selection_section(title, read_selection_info(file)))
            except UserError as error:  # the rest of the report is still worth writing
                sections.append(Section(title, warnings=[str(error)]))
    return sections


def selection_files(run: RunResults, *, several: bool) -> Iterator[tuple[Path, str]]:
    """The selections in a run's directory, and what they are called, with the run's name if there are several."""
    pattern = "seed*/*teacher/select/selection.parquet"
    files = sorted({*run.folder.glob(pattern), *run.folder.glob(f"*/{pattern}")})  # variants have folders of their own
    variants = [*dict.fromkeys(row.get("variant") for row in run.rows)]

    def place(file: Path) -> int:
        first = file.relative_to(run.folder).parts[0]
        return variants.index(first) if first in variants else -1

    for file in sorted(files, key=place):  # a stable sort: variants in their order, not that of their names
        *variant, seed, teacher = file.relative_to(run.folder).parts[:-2]
        where = " ".join([*([run.name] if several else []), *variant, seed])
        yield file, f"Selection of the {teacher.replace('_', ' ')}, {where}"


def selection_section(title: str, info: SelectionInfo) -> Section:
    """Size, warnings and the candidates of each class of a selection."""
    return Section(
        title,
        plots=[selection_plot(info)],
        tables=[Table(CLASS_HEADER, class_rows(info), fold="All classes")],
        text=summary(info),
        warnings=warnings(info),
    )


def selection_plot(info: SelectionInfo) -> Plot:
    """The candidates, selected examples and lowest selected score of each class."""
    order = sorted(range(len(info.scores.classes)), key=lambda index: -info.candidates_per_class[index])
    places = [*range(len(order))]
    names = [info.scores.classes[index] for index in order]
    columns = (info.candidates_per_class, info.wanted_per_class, info.chosen_per_class)
    candidates, wanted, chosen = ([values[index] for index in order] for values in columns)
    last = [info.last_score_per_class[index] for index in order]
    hover = [
        f"{name}\n{few:,} of {wanted_:,} selected, from {many:,} candidates"
        + ("" if score is None else f"\nlowest selected score {score:.3f}")
        for name, few, wanted_, many, score in zip(names, chosen, wanted, candidates, last, strict=True)
    ]
    log, counts = _count_scale([*candidates, *wanted, *chosen])
    lines = [
        Line("selected", places, [*map(log, chosen)], shape="hvh", width=1, filled=True, hover=hover),
        Line("candidates", places, [*map(log, candidates)], color=GRAY, shape="hvh", hover=hover),
        Line("wanted", places, [*map(log, wanted)], color=INK, dash="dash", shape="hvh"),
    ]
    named = [*zip(places, names, strict=True)] if len(order) <= MOST_NAMES else [(-1.0, "")]
    x = Scale("classes, most candidates first", limits=(-0.6, len(order) - 0.4), ticks=named)
    scores = [math.nan if score is None else score for score in last]
    dots = Line("", places, scores, dash="", symbols=["circle"], size=6, hover=hover)
    return Plot(
        "candidates and selected examples of each class",
        [Panel(x, counts, lines), Panel(x, Scale("lowest selected score", limits=(0, 1.03)), [dots])],
        columns=2,
        height=340,
    )


def _count_scale(counts: Sequence[int]) -> tuple[Callable[[int], float], Scale]:
    """An axis for numbers of examples that may be 0, and where a number stands on it."""
    known = [count for count in counts if count]
    if not known or max(known) / min(known) < WIDE:
        return float, Scale("examples", limits=(0, max([*known, 1]) * 1.06))
    scale = log_scale("examples (log scale)", known)
    floor, top = 10.0 ** math.floor(math.log10(min(known)) - 0.5), max(known) * 1.3
    ticks = [(floor, "0"), *((value, text) for value, text in scale.ticks if floor < value <= top)]
    return lambda count: count or floor, replace(scale, limits=(floor, top), ticks=ticks)
