"""Accuracy by class frequency in D as sections of a report, and as records for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.io.tables import markdown_table, printable
from vidsemi.pipeline.results import is_transfer, read_results
from vidsemi.report.drawing import Picture, names_of_pictures
from vidsemi.report.frequency import (
    BASELINE,
    ByFrequency,
    Group,
    Tested,
    baseline_of,
    by_frequency,
    frequency_groups,
    gain,
)
from vidsemi.report.frequency_plot import MOST, plot_frequency, students_of
from vidsemi.report.summary import Spread

TITLE = "Accuracy by class frequency in D"
FILES = "class_frequency"  # what the names of the pictures begin with, and that of the table
MOST_LOST = 5  # rows without an accuracy by class that are named one by one
COLUMNS = ["run", "student", "approach", "group", "classes", "tested_classes", "least_labeled", "most_labeled"]
COLUMNS += ["seeds", "top1_mean", "top1_std", "gain_mean", "gain_std"]


@dataclass(frozen=True)
class FrequencySection:
    """A run's accuracy by class frequency in a report.

    Attributes:
        title: whose it is.
        lines: which groups of classes there are, and what is not known.
        header: of the table.
        rows: a line a student and approach; none where there are no groups.
        picture: of the same; likewise None.
        records: a line a student, approach and group, with `COLUMNS`.
    """

    title: str
    lines: list[str]
    header: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    picture: Picture | None = None
    records: Sequence[dict[str, Any]] = ()


def frequency_sections(runs: Mapping[str, Path]) -> list[FrequencySection]:
    """One section for each run, by its name, that has results."""
    sections = []
    for (name, run), file in zip(runs.items(), names_of_pictures(FILES, list(runs)), strict=True):
        found = by_frequency([row for row in read_results(run) if not is_transfer(row)], run)
        title = TITLE if len(runs) == 1 else f"{TITLE}, {name}"
        groups = frequency_groups(found.labeled) if found.tested else []
        lines = [*_group_lines(found, groups), *_lost_lines(found)]
        if not groups:
            sections.append(FrequencySection(title, lines))
            continue
        if (hidden := len(students_of(found.tested)) - MOST) > 0:
            lines.append(f"{hidden} more students are in the table only")
        header, rows = _table(found, groups)
        picture = Picture(file, title, plot_frequency(found, groups, "svg"))
        records = [_record(name, own, group, found) for own in found.tested for group in groups]
        sections.append(FrequencySection(title, lines, header, rows, picture, records))
    return [section for section in sections if section.lines]


def _group_lines(found: ByFrequency, groups: Sequence[Group]) -> list[str]:
    if not found.tested:
        return []
    if not groups:
        return [f"all {len(found.labeled)} classes are equally frequent in D: {_examples(found.labeled[0])} each"]
    lines = []
    for group in groups:
        count, untested = len(group.classes), len(group.classes) - _tested_classes(found, group)
        span = _examples(str(group.least) if group.least == group.most else f"{group.least}–{group.most}")
        line = f"1 class with {span} in D" if count == 1 else f"{count} classes with {span} in D each"
        without = f"; no test examples of {untested} of them, which do not count" if untested else ""
        lines.append(f"{group.name}: {line}{without}")
    text = "accuracy of a group: the mean over its classes of their top-1"
    if _has_gains(found):
        text += f"; gain: points more than the same student {BASELINE}, over the seeds that both have"
    return [*lines, text]


def _examples(count: object) -> str:
    return f"{count} example{'' if str(count) == '1' else 's'}"


def _lost_lines(found: ByFrequency) -> list[str]:
    if not found.lost:
        return []
    more = len(found.lost) - MOST_LOST
    listed = "; ".join(found.lost[:MOST_LOST]) + (f"; and {more} more" if more > 0 else "")
    return [f"no accuracy by class of {listed} (to have it, delete that folder `evaluate` and run again)"]


def _has_gains(found: ByFrequency) -> bool:
    return any(baseline_of(own, found.tested) not in (None, own) for own in found.tested)


def _tested_classes(found: ByFrequency, group: Group) -> int:
    return sum(found.test[index] > 0 for index in group.classes)


def _table(found: ByFrequency, groups: Sequence[Group]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of texts; the gains stand behind all accuracies."""
    gains = _has_gains(found)
    header = ["student", "approach", *(f"{group.name} %" for group in groups)]
    header += [f"{group.name} gain" for group in groups] if gains else []
    rows = []
    for own in found.tested:
        baseline = baseline_of(own, found.tested)
        cells = [own.student, own.approach, *(_text(_spread(own, group)) for group in groups)]
        cells += [_text(gain(own, baseline, group.classes), "+") for group in groups] if gains else []
        rows.append((*cells, str(len(own.top1))))
    return (*header, "seeds"), rows


def _spread(own: Tested, group: Group) -> Spread | None:
    values = [*own.mean_of(group.classes).values()]
    return Spread.of(values) if values else None


def _text(spread: Spread | None, sign: str = "") -> str:
    """A mean and its deviation, with its sign where it is a difference."""
    if spread is None:
        return ""
    return f"{spread.mean:{sign}.1f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.1f}")


def _record(run: str, own: Tested, group: Group, found: ByFrequency) -> dict[str, Any]:
    top1, more = _spread(own, group), gain(own, baseline_of(own, found.tested), group.classes)
    values = (
        *(run, own.student, own.approach, group.name),
        *(len(group.classes), _tested_classes(found, group), group.least, group.most, len(own.top1)),
        *(top1 and top1.mean, top1 and top1.deviation, more and more.mean, more and more.deviation),
    )
    return dict(zip(COLUMNS, values, strict=True))


def frequency_markdown(sections: Sequence[FrequencySection]) -> str:
    """The sections for results.md."""
    texts = []
    for section in sections:
        parts = ["\n".join(f"- {printable(line)}" for line in section.lines)]
        if section.rows:
            parts.append("\n".join(markdown_table(section.header, section.rows)))
        if section.picture:
            parts.append(f"![{section.picture.title}]({section.picture.name}.svg)")
        texts.append(f"\n## {section.title}\n\n" + "\n\n".join(parts) + "\n")
    return "".join(texts)
