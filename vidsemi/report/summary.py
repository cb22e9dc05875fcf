"""Rows of results.json, one a seed → lines, one a student and approach, with mean and spread."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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
    """What a student reached by an approach.

    Attributes:
        student: its name; "teacher" for the teacher.
        approach: how it was trained; "teacher" for the teacher.
        seeds: number of runs behind the figures.
        top1: percent of videos.
        top5: likewise.
        mean_class_top1: percent, averaged over classes.
        gmacs_per_view: billions of multiply-adds.
        views: views a video.
        parameters: of the network.
        unread: test videos that could not be read in the worst run; they count as wrong.
    """

    student: str
    approach: str
    seeds: int
    top1: Spread
    top5: Spread
    mean_class_top1: Spread
    gmacs_per_view: float
    views: int
    parameters: int
    unread: int


def summarize(rows: Iterable[dict[str, Any]]) -> list[Line]:
    """Group rows by student and approach, in the order in which they first come."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["student"], row["approach"]), []).append(row)
    return [
        Line(
            student=student,
            approach=approach,
            seeds=len(group),
            top1=Spread.of([row["top1"] for row in group]),
            top5=Spread.of([row["top5"] for row in group]),
            mean_class_top1=Spread.of([row["mean_class_top1"] for row in group]),
            gmacs_per_view=group[0]["gmacs_per_view"],
            views=group[0]["views"],
            parameters=group[0]["parameters"],
            unread=max(row.get("total", 0) - row.get("read", 0) for row in group),
        )
        for (student, approach), group in groups.items()
    ]
