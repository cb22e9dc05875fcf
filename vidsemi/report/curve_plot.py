"""The picture of how trainings went: a row each, its seeds over one another."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.report.drawing import file_content, pyplot

COLUMNS = ("learning rate", "loss", "training\naccuracy, %")
STYLES = ("-", "--", ":", "-.")  # of the first seed, the second, …; more could not be told apart, and look alike
COLOR = "#0072b2"
MOST_POINTS = 120  # of a line that is 190 points long: what noise looks like needs no more
WIDTH, ROW = 10.0, 1.55  # inches
LEFT, RIGHT, TOP, BOTTOM = 0.85, 0.15, 0.55, 0.5  # inches around all rows
GAP, TITLE = 0.75, 0.5  # inches between columns and between rows


@dataclass(frozen=True)
class Step:
    """What a log says at a moment; not a number where it does not.

    Attributes:
        examples: processed so far.
        learning_rate: of the step.
        loss: mean over the last steps.
        accuracy: top-1 on the training's own clips, as a share.
        waited: share of the time that waited for data.
        clips_per_second: of the training.
    """

    examples: float
    learning_rate: float = math.nan
    loss: float = math.nan
    accuracy: float = math.nan
    waited: float = math.nan
    clips_per_second: float = math.nan


@dataclass(frozen=True)
class Training:
    """One training of a run.

    Attributes:
        name: its folder in the run, without the seed.
        logs: seed → steps, at least one, by examples.
    """

    name: str
    logs: Mapping[str, Sequence[Step]]


def plot_curves(trainings: Sequence[Training], format: str) -> bytes:
    """Draw learning rate, loss and training accuracy against the examples processed.

    Args:
        trainings: one or more, from top to bottom.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    seeds = sorted({seed for training in trainings for seed in training.logs}, key=_natural)
    height = TOP + BOTTOM + ROW * len(trainings) - TITLE
    figure, grid = pyplot().subplots(len(trainings), len(COLUMNS), figsize=(WIDTH, height), squeeze=False)
    column = (WIDTH - LEFT - RIGHT - GAP * (len(COLUMNS) - 1)) / len(COLUMNS)
    figure.subplots_adjust(  # by hand, since matplotlib takes seconds to lay out a hundred axes
        left=LEFT / WIDTH,
        right=1 - RIGHT / WIDTH,
        top=1 - TOP / height,
        bottom=BOTTOM / height,
        wspace=GAP / column,
        hspace=TITLE / (ROW - TITLE),
    )
    for row, training in zip(grid, trainings, strict=True):
        row[0].set_title(training.name, loc="left", fontsize=9)
        _draw(row, training, seeds)
    for axes in grid[-1]:
        axes.set_xlabel("examples processed", fontsize=8)
    if 1 < len(seeds) <= len(STYLES):
        lines = [pyplot().Line2D([], [], color=COLOR, linestyle=style) for style in STYLES[: len(seeds)]]
        figure.legend(lines, seeds, loc="upper right", ncols=len(seeds), frameon=False, fontsize=8)
    return file_content(figure, format)


def _draw(row: Sequence[Any], training: Training, seeds: Sequence[str]) -> None:
    """Draw the lines of a training into its three axes."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

    for seed, log in training.logs.items():
        steps = thinned(log, MOST_POINTS)
        style = STYLES[seeds.index(seed)] if len(seeds) <= len(STYLES) else "-"
        marker = "." if len(steps) == 1 else None
        values = ([s.learning_rate for s in steps], [s.loss for s in steps], [100 * s.accuracy for s in steps])
        for axes, ys in zip(row, values, strict=True):
            axes.plot([s.examples for s in steps], ys, marker=marker, ls=style, color=COLOR, linewidth=0.8)
    for axes, name in zip(row, COLUMNS, strict=True):
        axes.set_ylabel(name, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
        if all(math.isnan(y) for line in axes.lines for y in line.get_ydata()):  # a log of an older version
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not in the log", transform=axes.transAxes, ha="center", fontsize=8)


def thinned(steps: Sequence[Step], most: int) -> list[Step]:
    """At most so many of the steps, at equal distances, with the first and the last."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (most - 1))] for index in range(most)]


def _natural(seed: str) -> tuple[int, str]:
    """By number: seed2 before seed10."""
    return len(seed), seed
