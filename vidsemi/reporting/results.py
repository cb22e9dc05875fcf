"""Results of runs, averaged over seeds: what tables, figures and files of a report are made from."""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.io.store import Place
from vidsemi.pipeline.results import is_transfer, read_results

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath

BASELINE = "supervised"  # the approach that gains are measured against: labels alone
TEACHERS = ("teacher", "weakly_supervised_teacher")  # the approaches of the student "teacher"
THIS_RUN = "this run"
INTERNAL = ("name", "weights", "unconverged")  # fields that no file holds


@dataclass(frozen=True)
class RunResults:
    """The content of a run's results.json: the rows on the test set, and those on the datasets of a transfer."""

    name: str
    folder: Path
    rows: Sequence[dict[str, Any]]
    transfer_rows: Sequence[dict[str, Any]]
    source: "RemotePath | None" = None  # of which the folder is a copy, without large files

    def original(self, name: str) -> Place:
        """A file or folder of the run where it really is."""
        return self.folder / name if self.source is None or os.path.isabs(name) else self.source / name


def load_runs(folders: Sequence[Path], sources: Sequence[Place] = ()) -> list[RunResults]:
    """Read the results of runs from their output directories, none of them twice.

    Args:
        folders: the directories.
        sources: where they really are, if some are copies.

    Raises:
        UserError: a run has no results, or its file is invalid.
    """
    runs = []
    for name, folder, place in zip(run_names(folders), folders, sources or folders, strict=True):
        rows = read_results(folder)
        transfer_rows = [row for row in rows if is_transfer(row)]
        source = None if isinstance(place, Path) else place
        runs.append(RunResults(name, folder, [row for row in rows if not is_transfer(row)], transfer_rows, source))
    return runs


def run_names(folders: Sequence[Path]) -> list[str]:
    """Name each run by the end of its path: by as many parts as tell the runs apart."""
    paths = [folder.resolve() for folder in folders]
    most = max(len(path.parts) for path in paths)
    candidates = ([str(Path(*path.parts[-parts:])) for path in paths] for parts in range(1, most + 1))
    return next(names for names in candidates if len(set(names)) == len(folders))


@dataclass(frozen=True)
class Spread:
    """Mean over seeds and sample standard deviation (None with a single seed)."""

    mean: float
    deviation: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Mean and deviation of one or more values."""
        return cls(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)

    def __format__(self, sign: str) -> str:
        return f"{self.mean:{sign}.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")

    def __str__(self) -> str:
        return format(self, "")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A student trained by one approach, averaged over seeds. None where something is not known.

    The fields are the columns of results.csv, except the `INTERNAL` ones. Accuracies are percentages.
    """

    run: str = ""  # empty for results that do not come from a run
    student: str  # "teacher" for a teacher
    approach: str  # one of `TEACHERS` for a teacher
    variant: str | None = None  # of a study
    source: str = THIS_RUN
    test_set: str | None = None  # fingerprint; results on different ones cannot be compared
    test_manifest: str | None = None
    model: str | None = None
    frames: int | None = None
    seeds: int | None = None
    top1: Spread
    top5: Spread | None = None  # None for five classes or fewer
    mean_class_top1: Spread | None = None
    validation_top1: Spread | None = None  # of the weights that were kept
    gmacs_per_view: float | None = None
    gmacs_per_video: float | None = None
    views: int | None = None  # per video
    parameters: int | None = None
    unread_videos: int | None = None  # in the worst seed; they count as wrong
    pareto_gmacs: bool = False  # no other student is as accurate for fewer multiply-adds
    clips_per_second: float | None = None  # measured on this machine
    pareto_speed: bool | None = None  # no other student with a measured speed is as accurate and faster
    name: str  # of the student in tables and figures, see `display_name`
    weights: tuple[Place, ...] = ()  # one file per seed

    @property
    def ours(self) -> bool:
        """Whether it comes from a run, not from the paper."""
        return self.source == THIS_RUN


def average_seeds(runs: Sequence[RunResults]) -> list[Result]:
    """One result per run, student, approach and test set, in the order of the runs' rows."""
    return [
        Result(
            run=run.name,
            student=student,
            approach=approach,
            variant=variant,
            test_set=test_set,
            test_manifest=rows[0].get("test_manifest"),
            model=rows[0].get("model"),
            frames=rows[0].get("frames"),
            seeds=len(rows),
            top1=Spread.of([row["top1"] for row in rows]),
            top5=top5_of(rows),
            mean_class_top1=Spread.of([row["mean_class_top1"] for row in rows]),
            validation_top1=_validation_of(rows),
            gmacs_per_view=rows[0]["gmacs_per_view"],
            gmacs_per_video=rows[0].get("gmacs_per_video", rows[0]["gmacs_per_view"] * rows[0]["views"]),
            views=rows[0]["views"],
            parameters=rows[0]["parameters"],
            unread_videos=max(row.get("total", 0) - row.get("read", 0) for row in rows),
            name=display_name(run, student, runs),
            weights=tuple(run.original(str(row["weights"])) for row in rows if "weights" in row),
        )
        for run in runs
        for (student, approach, variant, test_set), rows in group_rows(
            run.rows, "student", "approach", "variant", "test_set"
        ).items()
    ]


def is_study(results: Iterable[Result]) -> bool:
    """Whether results are of several variants, which one figure of accuracy and cost would draw over one another."""
    return any(result.variant for result in results)


def student_of(row: Mapping[str, Any]) -> str:
    """The student of a row, with its variant in a study."""
    return f"{row['student']} [{row['variant']}]" if row.get("variant") else str(row["student"])


def top5_of(rows: Sequence[dict[str, Any]]) -> Spread | None:
    """Top-5 of the rows of one result; None where all would be right, of five classes or fewer."""
    few = all(isinstance(count := row.get("num_classes"), int) and count <= 5 for row in rows)
    return None if few else Spread.of([row["top5"] for row in rows])


def _validation_of(rows: Sequence[dict[str, Any]]) -> Spread | None:
    values = [row["validation_top1"] for row in rows if isinstance(row.get("validation_top1"), int | float)]
    return Spread.of(values) if len(values) == len(rows) else None


def display_name(run: RunResults, student: str, runs: Sequence[RunResults]) -> str:
    """A student's name in tables: with its run's where there are several runs."""
    return student if len(runs) == 1 else f"{run.name}/{student}"


def group_rows(rows: Iterable[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Rows with the same values of some keys, one per seed; groups in the order of their first rows."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return groups


def best_rows(run: RunResults) -> list[dict[str, Any]]:
    """The rows, one per seed, of the student and approach with the highest mean top-1, else of a teacher."""
    groups = group_rows(run.rows, "student", "approach", "variant", "test_set")
    students = {key: rows for key, rows in groups.items() if key[1] not in TEACHERS} or groups
    return max(students.values(), key=lambda rows: sum(row["top1"] for row in rows) / len(rows), default=[])


def by_test_set(results: Sequence[Result]) -> list[list[Result]]:
    """Groups of results that can be compared: one per test set. The paper's join a single one, else are a group."""
    test_sets = dict.fromkeys(result.test_set for result in results if result.ours)
    if len(test_sets) < 2:
        return [[*results]] if results else []
    groups = [[result for result in results if result.ours and result.test_set == one] for one in test_sets]
    return [*groups, *([others] if (others := [result for result in results if not result.ours]) else [])]


def mark_pareto_fronts(results: Sequence[Result]) -> list[Result]:
    """Mark the students on the Pareto fronts of a test set; teachers and the paper's results are not candidates."""
    students = [index for index, result in enumerate(results) if result.ours and result.approach not in TEACHERS]
    costs = {index: gmacs for index in students if (gmacs := results[index].gmacs_per_view) is not None}
    slowness = {index: -speed for index in students if (speed := results[index].clips_per_second) is not None}
    by_cost, by_speed = _front(results, costs), _front(results, slowness)
    return [
        replace(
            result,
            pareto_gmacs=index in by_cost,
            pareto_speed=None if result.clips_per_second is None else index in by_speed,
        )
        for index, result in enumerate(results)
    ]


def _front(results: Sequence[Result], costs: Mapping[int, float]) -> set[int]:
    on_front = pareto_front(list(costs.values()), [results[index].top1.mean for index in costs])
    return {index for index, on in zip(costs, on_front, strict=True) if on}


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Whether each choice is on the Pareto front: no other choice beats its (low) cost and (high) gain.

    Another choice beats it if it costs no more, gains no less, and is better in one of the two. Choices that are equal
    in both are on the front together, or not at all.
    """
    front = [False] * len(costs)
    best: tuple[float, float] | None = None  # cost and gain of the last choice on the front
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        if best is None or gains[index] > best[1] or (costs[index], gains[index]) == best:
            front[index] = True
            best = costs[index], gains[index]
    return front


def as_record(item: Any, *omit: str) -> dict[str, Any]:
    """A result as a row of a CSV file or report.json, without the `INTERNAL` fields; None where there is no value.

    A `Spread`, in the fields top1, top5, mean_class_top1, validation_top1 and gain, becomes two columns, `…_mean` and
    `…_std`.
    """
    record: dict[str, Any] = {}
    for name, value in vars(item).items():
        if name in ("top1", "top5", "mean_class_top1", "validation_top1", "gain"):
            record[f"{name}_mean"] = value and value.mean
            record[f"{name}_std"] = value and value.deviation
        elif name not in INTERNAL and name not in omit:
            record[name] = None if value == "" else value
    return record
