"""Rows of results.json as the tests of the report need them."""

import json
from pathlib import Path

from vidsemi.reporting.results import RunResults, load_runs


def row(student: str, approach: str, seed: int, top1: float, gmacs: float = 1.0, **more: object) -> dict:
    """A student trained by an approach with a seed; `more` adds keys or replaces them."""
    numbers = {"top1": top1, "top5": 95.0, "mean_class_top1": top1, "views": 10, "gmacs_per_view": gmacs}
    return {"student": student, "approach": approach, "seed": seed, "parameters": 1_500_000, **numbers, **more}


def write_results(folder: Path, rows: list[dict]) -> Path:
    """Write the results.json of a run; returns the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def load_run(folder: Path) -> list[RunResults]:
    """The results of a single run."""
    return load_runs([folder])


def run_of(rows: list[dict], name: str = "run", folder: Path = Path()) -> RunResults:
    """The results of a run without files."""
    return RunResults(name, folder, [r for r in rows if "transfer" not in r], [r for r in rows if "transfer" in r])
