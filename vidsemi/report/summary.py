"""Rows of results.json, one a seed → lines, one a student and approach, with mean and spread."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidsemi.report.pareto import pareto_front

TEACHERS = ("teacher", "weakly_supervised_teacher")  # what rows of the student "teacher" have as approach
THIS_RUN = "this run"


@dataclass(frozen=True)
class Spread:
    """Mean over seeds and sample standard deviation (None with a single seed)."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Of one value a seed."""
        return cls(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.deviation is None else f"{self.mean:.1f} ± {self.deviation:.1f}"


@dataclass(frozen=True)
class Line:
    """What a student reached by an approach; None for what is not known.

    Attributes:
        run: name of the run; empty for what does not come from one.
        student: its name; "teacher" for a teacher.
        name: the student's name in tables and pictures, where several runs may meet.
        approach: how it was trained; one of `TEACHERS` for a teacher.
        source: where the figures come from.
        top1: percent of videos.
        top5: likewise.
        model: the network's name.
        frames: of a clip.
        seeds: number of runs behind the figures.
        mean_class_top1: percent, averaged over classes.
        gmacs_per_view: billions of multiply-adds.
        gmacs_per_video: of all views together.
        views: views a video.
        parameters: of the network.
        unread: test videos that could not be read in the worst run; they count as wrong.
        weights: files with the network's weights, one a seed.
        clips_per_second: as measured on this machine.
        pareto_gmacs: no other student is as accurate for fewer multiply-adds.
        pareto_speed: no other student whose speed is known is as accurate and faster.
    """

    run: str
    student: str
    name: str
    approach: str
    source: str
    top1: Spread
    top5: Spread
    model: str | None = None
    frames: int | None = None
    seeds: int | None = None
    mean_class_top1: Spread | None = None
    gmacs_per_view: float | None = None
    gmacs_per_video: float | None = None
    views: int | None = None
    parameters: int | None = None
    unread: int | None = None
    weights: tuple[Path, ...] = ()
    clips_per_second: float | None = None
    pareto_gmacs: bool = False
    pareto_speed: bool = False


def summarize(rows: Iterable[dict[str, Any]], run: str = "", folder: Path = Path(), prefix: str = "") -> list[Line]:
    """Group a run's rows by student and approach, in the order in which they first come.

    Args:
        rows: of results.json.
        run: the run's name.
        folder: its directory, which the rows' weights are in.
        prefix: of the students' names.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["student"], row["approach"]), []).append(row)
    return [
        Line(
            run=run,
            student=student,
            name=prefix + student,
            approach=approach,
            source=THIS_RUN,
            top1=Spread.of([row["top1"] for row in group]),
            top5=Spread.of([row["top5"] for row in group]),
            model=group[0].get("model"),
            frames=group[0].get("frames"),
            seeds=len(group),
            mean_class_top1=Spread.of([row["mean_class_top1"] for row in group]),
            gmacs_per_view=group[0]["gmacs_per_view"],
            gmacs_per_video=group[0].get("gmacs_per_video", group[0]["gmacs_per_view"] * group[0]["views"]),
            views=group[0]["views"],
            parameters=group[0]["parameters"],
            unread=max(row.get("total", 0) - row.get("read", 0) for row in group),
            weights=tuple(folder / str(row["weights"]) for row in group if "weights" in row),
        )
        for (student, approach), group in groups.items()
    ]


def mark_fronts(lines: Sequence[Line]) -> list[Line]:
    """The same lines, those on the Pareto fronts marked; teachers and what is not of this run are no candidates."""
    marked = list(lines)
    ours = [index for index, line in enumerate(lines) if line.source == THIS_RUN and line.approach not in TEACHERS]
    costs = {index: gmacs for index in ours if (gmacs := lines[index].gmacs_per_view) is not None}
    for index in _front(lines, costs):
        marked[index] = replace(marked[index], pareto_gmacs=True)
    slowness = {index: -speed for index in ours if (speed := lines[index].clips_per_second) is not None}
    for index in _front(lines, slowness):
        marked[index] = replace(marked[index], pareto_speed=True)
    return marked


def _front(lines: Sequence[Line], costs: dict[int, float]) -> list[int]:
    """Indices of those among the lines with a cost that are on the front of cost and accuracy."""
    on_front = pareto_front(list(costs.values()), [lines[index].top1.mean for index in costs])
    return [index for index, on in zip(costs, on_front, strict=True) if on]
