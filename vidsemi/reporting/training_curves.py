"""Learning rate, loss and accuracy of a run's training runs, from their logs."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vidsemi.reporting.plot import COLORS, INK, Line, Panel, Plot, Scale, plot_names
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table
from vidsemi.training.log import LOG, read_log

FILE = "training_curves"
HEADER = (
    "training run",
    "seeds",
    "examples",
    "loss",
    "training accuracy %",
    "validation %",
    "waiting for data",
    "clips / s",
)
LIMIT_HEADER = ("reading limits this training run", "waited for clips", "what to do")
MOST_ROWS = 40  # training runs in a plot
MOST_POINTS = 120  # of a line that is 190 points long; noise looks the same with more
FEWEST_POINTS, MOST_OF_SEEDS = 40, 480  # of a line where many lie over one another; of all seeds in a panel
HEIGHT = 200  # of a panel in the page, pixels
FOLD = "Learning rate, loss and training accuracy"


@dataclass(frozen=True)
class LoggedStep:
    """A step event of a log; NaN where the log has no number."""

    examples: float  # processed so far
    learning_rate: float = math.nan
    loss: float = math.nan  # mean over the last steps
    accuracy: float = math.nan  # top-1 on the training clips, from 0 to 1
    waited: float = math.nan  # share of the time spent waiting for data
    clips_per_second: float = math.nan


PANELS: dict[str, Callable[[LoggedStep], float]] = {
    "learning rate": lambda step: step.learning_rate,
    "loss": lambda step: step.loss,
    "training accuracy, %": lambda step: 100 * step.accuracy,
}


@dataclass(frozen=True)
class TrainingRun:
    """The logs of a stage that trains."""

    name: str  # its folder in the run, without the seed
    logs: Mapping[str, Sequence[LoggedStep]]  # seed → steps, at least one, sorted by examples
    validations: Mapping[str, Sequence[tuple[float, float]]] = field(
        default_factory=dict
    )  # (examples, top-1 in percent)
    reading_limits: Sequence[tuple[float, str]] = ()  # share of the time that waited for clips, and what to do


def curve_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run that has logs."""
    sections = []
    for run, file in zip(runs, plot_names(FILE, [run.name for run in runs]), strict=True):
        if trainings := find_training_runs(run.folder):
            title = "Training curves" if len(runs) == 1 else f"Training curves, {run.name}"
            hidden = len(trainings) - MOST_ROWS
            notes = [f"The plot leaves out {hidden} more training runs."] if hidden > 0 else []
            if any(training.validations for training in trainings[:MOST_ROWS]):
                notes.append("Dashed, beside the training accuracy: top-1 on the validation set.")
            rows = [_row(training) for training in trainings]
            sections.append(
                Section(
                    title,
                    plots=[curves_plot(trainings[:MOST_ROWS], title, file)],
                    # speeds differ from run to run, and results.md is the same for the same results
                    tables=[
                        *_limits(trainings),
                        Table(HEADER, rows, fold="Last step of each training run", html_only=True),
                    ],
                    text=notes,
                )
            )
    return sections


def find_training_runs(folder: Path) -> list[TrainingRun]:
    """The training runs in a run's directory that have logged a step, in the order in which they started."""
    logs: dict[str, dict[str, list[LoggedStep]]] = {}
    validations: dict[str, dict[str, list[tuple[float, float]]]] = {}
    limits: dict[str, list[tuple[float, str]]] = {}
    started: dict[str, str] = {}
    patterns = ["seed*/*/*", "seed*/*/*/*", "seed*/*/*/transfer/**"]
    patterns += [f"*/{pattern}" for pattern in patterns]  # of a study's variants
    for file in sorted({file for pattern in patterns for file in folder.glob(f"{pattern}/{LOG}")}):
        parts = [*file.parent.relative_to(folder).parts]
        seed = parts.pop(0 if parts[0].startswith("seed") else 1)
        try:
            events = read_log(file)
        except OSError:  # the rest of the report is still worth writing
            continue
        if steps := _steps(events):
            name, start = "/".join(parts), str(events[0].get("time", ""))
            logs.setdefault(name, {})[seed] = steps
            measured = [
                (_number(event.get("examples")), _number(event.get("top1")))
                for event in events
                if event.get("event") == "validation"
            ]
            if measured:
                validations.setdefault(name, {})[seed] = measured
            limits.setdefault(name, []).extend(
                (_number(event.get("waited")), str(event.get("advice")))
                for event in events
                if event.get("event") == "reading_limit"
            )
            started[name] = min(started.get(name, start), start)
    return [
        TrainingRun(name, logs[name], validations.get(name, {}), limits[name])
        for name in sorted(logs, key=lambda name: (started[name], name))
    ]


def _steps(events: Iterable[dict[str, Any]]) -> list[LoggedStep]:
    """The steps of a log, sorted by examples; of two with as many examples the later one."""
    steps: dict[float, LoggedStep] = {}
    for event in events:
        step = LoggedStep(**{field.name: _number(event.get(field.name)) for field in fields(LoggedStep)})
        if "loss" in event and not math.isnan(step.examples):
            steps[step.examples] = step
    return [steps[examples] for examples in sorted(steps)]


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and abs(value) < 1e100 else math.nan


def _row(training: TrainingRun) -> tuple[str, ...]:
    """The last step of a training run, averaged over seeds."""
    last = [steps[-1] for steps in training.logs.values()]
    return (
        training.name,
        str(len(last)),
        _mean([step.examples for step in last], ",.0f"),
        _mean([step.loss for step in last], ".3f"),
        _mean([100 * step.accuracy for step in last], ".1f"),
        _mean([points[-1][1] for points in training.validations.values()], ".1f"),
        _mean([step.waited for step in last], ".0%"),
        _mean([step.clips_per_second for step in last], ",.1f"),
    )


def _limits(trainings: Iterable[TrainingRun]) -> list[Table]:
    """A table of the training runs that reading limits, if any."""
    rows = [(own.name, *max(own.reading_limits)) for own in trainings if own.reading_limits]
    shown = [(name, format(share, ".0%"), advice) for name, share, advice in rows]
    return [Table(LIMIT_HEADER, shown, text_columns=3, html_only=True)] if shown else []


def _mean(values: Iterable[float], form: str) -> str:
    known = [value for value in values if not math.isnan(value)]
    return format(statistics.fmean(known), form) if known else ""


def curves_plot(trainings: Sequence[TrainingRun], alt: str, name: str) -> Plot:
    """Learning rate, loss and training accuracy against the examples processed: a row of panels per training run."""
    seeds = sorted({seed for training in trainings for seed in training.logs}, key=lambda seed: (len(seed), seed))
    panels = [panel for training in trainings for panel in _panels(training, seeds)]
    return Plot(alt, panels, columns=len(PANELS), height=HEIGHT, name=name, fold=FOLD)


def _panels(training: TrainingRun, seeds: Sequence[str]) -> list[Panel]:
    panels = []
    most = min(MOST_POINTS, max(FEWEST_POINTS, MOST_OF_SEEDS // len(training.logs)))
    for number, (title, value) in enumerate(PANELS.items()):
        lines = []
        curves = {
            seed: [(step.examples, value(step)) for step in thin_out(log, most)] for seed, log in training.logs.items()
        }
        same = len(curves) > 1 and len({repr(curve) for curve in curves.values()}) == 1
        for seed, curve in [("all seeds", next(iter(curves.values())))] if same else curves.items():
            style: dict[str, Any] = {"color": INK if same else COLORS[seeds.index(seed) % len(COLORS)], "width": 1}
            label = seed if len(seeds) > 1 and not same else ""
            xs, ys = ([*values] for values in zip(*curve, strict=True))
            hover = f"{seed}, %{{x:,.0f}} examples\n{title} %{{y:.4~g}}"
            symbols = ["dot"] if len(curve) == 1 else []
            lines.append(Line(label, xs, ys, hover_numbers=hover, symbols=symbols, **style))
        for seed, points in training.validations.items() if number == len(PANELS) - 1 else ():
            xs, top1 = ([*values] for values in zip(*points, strict=True))
            hover = f"{seed}, %{{x:,.0f}} examples\nvalidation top-1 %{{y:.4~g}}%"
            style = {"color": COLORS[seeds.index(seed) % len(COLORS)], "width": 1}
            label = seed if len(seeds) > 1 else ""
            lines.append(Line(label, xs, top1, hover_numbers=hover, dash="dash", symbols=["dot"], size=5, **style))
        x = Scale("examples processed", thousands=True)
        panels.append(Panel(x, Scale(title), lines, title=training.name if number == 0 else "\u00a0"))
    return panels


def thin_out(steps: Sequence[LoggedStep], most: int) -> list[LoggedStep]:
    """Keep at most so many steps, evenly spaced, with the first and the last."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (most - 1))] for index in range(most)]
