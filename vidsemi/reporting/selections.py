"""The pseudo-labeled sets that runs selected: size, warnings, and the candidates of each class."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from vidsemi.io.errors import UserError
from vidsemi.reporting.plotting import BLUE, GRAY, plain_numbers, pyplot, save
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Figure, Section, Table
from vidsemi.selection.describe import CLASS_HEADER, class_rows, summary, warnings
from vidsemi.selection.info import SelectionInfo
from vidsemi.selection.result import read_selection_info

MOST_NAMES = 40  # classes whose names still fit below an axis


def selection_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per selection in the runs' directories."""
    sections = []
    for run in runs:
        for file, title in selection_files(run, several=len(runs) > 1):
            try:
                sections.append(_section(title, read_selection_info(file)))
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


def _section(title: str, info: SelectionInfo) -> Section:
    return Section(
        title,
        figures=[Figure("candidates and selected examples of each class", plot_selection(info, "svg"))],
        tables=[Table(CLASS_HEADER, class_rows(info), fold="All classes")],
        text=summary(info),
        warnings=warnings(info),
    )


def plot_selection(info: SelectionInfo, format: str) -> bytes:
    """Plot the candidates, selected examples and lowest selected score of each class, as svg or png."""
    order = sorted(range(len(info.scores.classes)), key=lambda index: -info.candidates_per_class[index])
    places = range(len(order))
    columns = (info.candidates_per_class, info.wanted_per_class, info.chosen_per_class, info.last_score_per_class)
    candidates, wanted, chosen, last = ([values[index] for index in order] for values in columns)
    figure, (counts, scores) = pyplot().subplots(
        2, 1, figsize=(8, 5), sharex=True, height_ratios=(3, 2), layout="constrained"
    )
    counts.step(places, candidates, where="mid", color=GRAY, label="candidates")
    counts.step(places, wanted, where="mid", color="black", ls="--", label="wanted")
    counts.fill_between(places, chosen, step="mid", color=BLUE, alpha=0.4, label="selected")
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylim(bottom=0)
    counts.yaxis.set_major_formatter(plain_numbers())
    counts.set_ylabel("examples")
    counts.legend(frameon=False)
    scores.plot(places, [float("nan") if score is None else score for score in last], ".", color=BLUE)
    scores.set_ylim(0, 1.02)
    scores.set_ylabel("lowest selected score")
    for axes in (counts, scores):
        axes.grid(alpha=0.25)
    if len(order) <= MOST_NAMES:
        scores.set_xticks(places, [info.scores.classes[i] for i in order], rotation=45, ha="right")
    else:
        scores.set_xlabel("classes, most candidates first")
    return save(figure, format)
