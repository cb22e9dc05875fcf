"""What the stages of a run took, beside what `vidsemi plan --save` had planned."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidsemi.pipeline.cost.plan import PLAN, SEED, duration
from vidsemi.pipeline.record import RECORD
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table

TITLE = "Plan and reality"


def plan_sections(runs: Sequence[RunResults]) -> list[Section]:
    """A section for each run that has a plan and a stage that is done."""
    return [section for run in runs if (section := _section(run, several=len(runs) > 1))]


def _section(run: RunResults, *, several: bool) -> Section | None:
    planned, source = _planned(run.folder)
    took = {name: seconds for name, seconds in _took(run.folder).items() if name in planned}
    if not took:
        return None
    groups: dict[str, list[str]] = {}
    for name in planned:
        if name in took:
            groups.setdefault(SEED.sub("seed*", name), []).append(name)
    records = [
        {"stage": name, "runs": len(own), **_compared(sum(planned[one] for one in own), sum(took[one] for one in own))}
        for name, own in groups.items()
    ]
    all_planned, all_took = sum(planned[name] for name in took), sum(took.values())
    total = {"stage": "all", "runs": len(took), **_compared(all_planned, all_took)}
    table = Table(
        ("stage", "runs", "planned", "took", "took / planned"),
        [_row(own) for own in (*records, total)],
        fold="By stage",
    )
    text = [
        f"{len(took)} of {len(planned)} planned stages are done. They were planned to take {duration(all_planned)} "
        f"(rates: {source}), and took {duration(all_took)}.",
        "A stage that was interrupted and resumed counts from its last start.",
    ]
    title = f"{TITLE}: {run.name}" if several else TITLE
    return Section(title, text=text, tables=[table], data={"plan": [{"run": run.name, **own} for own in records]})


def _compared(planned: float, took: float) -> dict[str, float]:
    return {"planned_seconds": planned, "seconds": took, "ratio": took / planned if planned else math.inf}


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    times = (duration(record["planned_seconds"]), duration(record["seconds"]))
    return record["stage"], str(record["runs"]), *times, f"{record['ratio']:.2f}"


def _planned(folder: Path) -> tuple[dict[str, float], str]:
    """Seconds by stage, and where the rates come from; empty without a plan."""
    try:
        document = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        seconds = {str(own["name"]): float(own["seconds"]) for own in document["stages"]}
        return {name: own for name, own in seconds.items() if own > 0}, str(document["source"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}, ""


def _took(folder: Path) -> dict[str, float]:
    """Seconds of the stages that are done."""
    took = {}
    for file in sorted(folder.rglob(RECORD)):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            if record["status"] == "done":
                took[str(record["stage"])] = float(record["seconds"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # a stage of another program
    return took
