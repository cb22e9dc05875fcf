"""The first section of a report: accuracy of each student and approach beside its cost."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import compress

from vidsemi.models.flops import CONVENTION
from vidsemi.reporting.accuracy_plot import FLOPS, SPEED, accuracy_plot
from vidsemi.reporting.paper import TABLE_7, TABLE_7_NOTE
from vidsemi.reporting.plot import rounded
from vidsemi.reporting.results import Result, as_record, is_study
from vidsemi.reporting.section import Section, Table
from vidsemi.reporting.speed import SpeedReport

HEADER = (
    *("student", "approach", "variant", "top-1 %", "top-5 %", "class mean %", "validation %"),
    *("GMAC / view", "views", "parameters", "seeds"),
)
OPTIONAL = ("variant", "top-5 %", "validation %")  # left out where no result has one


def accuracy_sections(groups: Sequence[Sequence[Result]], speeds: SpeedReport | None = None) -> list[Section]:
    """A section for each group of results that can be compared, with marked Pareto fronts."""
    if len(groups) == 1:
        return [_section(groups[0], "Accuracy and cost", "", speeds)]
    return [
        _section(results, f"Accuracy and cost, {_test_set(results[0], number)}", f"_{number}", speeds)
        for number, results in enumerate(groups, start=1)
    ]


def several_test_sets(groups: Sequence[Sequence[Result]]) -> list[str]:
    """A sentence where the results are of several test sets."""
    names = [_test_set(results[0], number) for number, results in enumerate(groups, start=1) if results[0].ours]
    if len(names) < 2:
        return []
    return [
        f"The results are of {len(names)} different test sets and cannot be compared across them; each has a table and "
        f"a Pareto front of its own: {'; '.join(names)}."
    ]


def _test_set(result: Result, number: int) -> str:
    if not result.ours:
        return result.source
    name = f"{result.test_manifest or 'manifest not recorded'}"
    return f"test set {number} ({name}{f', {result.test_set[:8]}' if result.test_set else ''})"


def _section(results: Sequence[Result], title: str, suffix: str, speeds: SpeedReport | None) -> Section:
    shared = _shared(results)
    header, rows = [*HEADER], [_cells(own[0], _variants(own, results)) for own in shared]
    if speeds:
        header.append("clips / s")
        rows = [(*cells, _rounded(own[0].clips_per_second)) for cells, own in zip(rows, shared, strict=True)]
    shown = [name not in OPTIONAL or any(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)]
    header, rows = [*compress(header, shown)], [tuple(compress(cells, shown)) for cells in rows]
    notes, costs = _notes(results, speeds), (FLOPS, SPEED) if speeds else (FLOPS,)
    without_speed = () if speeds else ("clips_per_second", "pareto_speed")
    return Section(
        title,
        plots=[] if is_study(results) else [accuracy_plot(results, cost, suffix) for cost in costs],
        tables=[Table(header, rows, text_columns=3 if "variant" in header else 2)],
        text=notes,
        data={
            "lines": [as_record(result, *without_speed) for result in results],
            "speed": asdict(speeds.setting) if speeds else None,
            "notes": notes,
        },
    )


def _shared(results: Sequence[Result]) -> list[list[Result]]:
    """Results in groups of one, or of the variants of a study that share their networks."""
    groups: dict[object, list[Result]] = {}
    for result in results:
        key = (result.run, result.student, result.approach, result.weights) if result.weights else id(result)
        groups.setdefault(key, []).append(result)
    return [*groups.values()]


def _variants(own: Sequence[Result], results: Sequence[Result]) -> str:
    """The variants of a row of the table."""
    names = [result.variant for result in own if result.variant]
    everything = {result.variant for result in results if result.variant and result.run == own[0].run}
    return "all" if len(names) > 1 and everything == {*names} else ", ".join(names)


def _cells(result: Result, variants: str) -> tuple[str, ...]:
    millions = result.parameters and result.parameters / 1e6
    return (
        result.name,
        result.approach,
        variants,
        str(result.top1),
        _text(result.top5),
        _text(result.mean_class_top1),
        _text(result.validation_top1),
        _rounded(result.gmacs_per_view),
        _text(result.views),
        _text(millions, ".2f" if result.ours else ".0f", "M"),  # the paper prints no more digits
        _text(result.seeds),
    )


def _text(value: object, form: str = "", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _rounded(value: float | None) -> str:
    return "" if value is None else rounded(value)


def _notes(results: Sequence[Result], speeds: SpeedReport | None) -> list[str]:
    notes = [f"GMAC: {CONVENTION}, in billions. The cost of a video is this times its views."]
    if any((result.seeds or 0) > 1 for result in results):
        notes.append("Accuracies are means over seeds ± sample standard deviation.")
    if unread := max((result.unread_videos or 0 for result in results), default=0):
        notes.append(f"{unread} test videos could not be read; they count as wrong.")
    if front := [result for result in results if result.pareto_gmacs]:
        notes.append(f"On the Pareto front of accuracy and multiply-adds: {_names(front)}.")
    if speeds:
        if front := [result for result in results if result.pareto_speed]:
            notes.append(f"On the Pareto front of accuracy and speed: {_names(front)}.")
        notes.append(f"clips / s: forward passes of random clips, without decoding; {speeds.setting}.")
        notes += [f"No speed of {name}." for name in speeds.missing]
    if any(result.source == TABLE_7 for result in results):
        notes.append(TABLE_7_NOTE)
    return notes


def _names(results: Sequence[Result]) -> str:
    return ", ".join(
        f"{result.name} ({result.approach}{f', {result.variant}' if result.variant else ''})" for result in results
    )
