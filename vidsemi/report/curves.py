"""How the trainings of runs went, from their logs, as sections of a report."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.report.curve_plot import Step, Training, plot_curves
from vidsemi.report.drawing import Picture, names_of_pictures
from vidsemi.training.log import LOG, read_log

HEADER = ("training", "seeds", "examples", "loss", "training accuracy %", "waits for data", "clips / s")
MOST = 40  # trainings that a picture shows
FILES = "training_curves"  # what all pictures' names begin with
LEAST, GREATEST = "", "~"  # texts before and after all times


@dataclass(frozen=True)
class CurveSection:
    """The trainings of a run in a report.

    Attributes:
        title: whose they are.
        picture: of the first of them.
        note: how many it does not show; empty if none.
        rows: of the table of all trainings, under `HEADER`.
    """

    title: str
    picture: Picture
    note: str
    rows: list[tuple[str, ...]]


def curve_sections(runs: Mapping[str, Path]) -> list[CurveSection]:
    """One section for each run, by its name, that has trained anything."""
    sections = []
    for (name, run), file in zip(runs.items(), names_of_pictures(FILES, list(runs)), strict=True):
        if trainings := find_trainings(run):
            title = "Training curves" if len(runs) == 1 else f"Training curves, {name}"
            picture = Picture(file, title, plot_curves(trainings[:MOST], "svg"))
            hidden = len(trainings) - MOST
            note = f"{hidden} more trainings are in the table only." if hidden > 0 else ""
            sections.append(CurveSection(title, picture, note, [_row(training) for training in trainings]))
    return sections


def find_trainings(run: Path) -> list[Training]:
    """The trainings of a run that have got anywhere, in the order in which they began."""
    logs: dict[str, dict[str, list[Step]]] = {}
    began: dict[str, str] = {}
    places = ("seed*/*/*", "seed*/*/*/*", "seed*/*/*/transfer/**")
    files = [file for place in places for file in run.glob(f"{place}/{LOG}")]
    for file in sorted(files):
        seed, *parts = file.parent.relative_to(run).parts
        try:
            events = read_log(file)
        except OSError:  # the report of all else is not lost for that
            continue
        if steps := _steps(events):
            name = "/".join(parts)
            logs.setdefault(name, {})[seed] = steps
            began[name] = min(began.get(name, GREATEST), str(events[0].get("time", LEAST)))
    return [Training(name, logs[name]) for name in sorted(logs, key=lambda name: (began[name], name))]


def _steps(events: Iterable[dict[str, Any]]) -> list[Step]:
    """What a log says of the training's steps, by examples; of two that say as many the later one."""
    steps: dict[float, Step] = {}
    for event in events:
        examples = _number(event.get("examples"))
        if "loss" in event and not math.isnan(examples):
            steps[examples] = Step(
                examples=examples,
                learning_rate=_number(event.get("learning_rate", event.get("rate"))),  # its name in older logs
                loss=_number(event.get("loss")),
                accuracy=_number(event.get("accuracy")),
                waited=_number(event.get("waited")),
                clips_per_second=_number(event.get("clips_per_second")),
            )
    return [steps[examples] for examples in sorted(steps)]


def _number(value: Any) -> float:
    """A finite value as it is; not a number for all else."""
    return value if isinstance(value, int | float) and abs(value) < 1e100 else math.nan


def _row(training: Training) -> tuple[str, ...]:
    """A training's last step, as the mean over its seeds."""
    last = [steps[-1] for steps in training.logs.values()]
    return (
        training.name,
        str(len(last)),
        _mean([step.examples for step in last], ",.0f"),
        _mean([step.loss for step in last], ".3f"),
        _mean([100 * step.accuracy for step in last], ".1f"),
        _mean([step.waited for step in last], ".0%"),
        _mean([step.clips_per_second for step in last], ",.1f"),
    )


def _mean(values: Iterable[float], form: str) -> str:
    """The mean of the values that are known as a text; empty if none is."""
    known = [value for value in values if not math.isnan(value)]
    return format(statistics.fmean(known), form) if known else ""


def curves_markdown(sections: Sequence[CurveSection]) -> str:
    """The sections for results.md: their pictures alone, since the tables tell speeds, which no run repeats."""
    return "".join(
        f"\n## {section.title}\n\n![{section.title}]({section.picture.name}.svg)\n"
        + (f"\n{section.note}\n" if section.note else "")
        for section in sections
    )
