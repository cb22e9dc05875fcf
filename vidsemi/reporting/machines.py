"""The machines that computed the results of runs, from the records of their stages."""

import json
from collections.abc import Sequence
from typing import Any

from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section


def machines_section(runs: Sequence[RunResults]) -> Section | None:
    """A line for each machine, with the number of stages that it ran; None if no stage says."""
    stages: dict[str, int] = {}
    for run in runs:
        for file in sorted(run.folder.rglob("stage.json")):
            try:
                machine = json.loads(file.read_text(encoding="utf-8"))["machine"]
                name = _describe(machine)
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue  # a stage that is not done, or of another program
            stages[name] = stages.get(name, 0) + 1
    lines = [f"{name}: {count} stage{'s' * (count > 1)}" for name, count in stages.items()]
    return Section("Machines", text=lines, data={"machines": stages}) if lines else None


def _describe(machine: dict[str, Any]) -> str:
    gpus = machine.get("gpus") or []
    parts = [
        *(f"{gpus.count(gpu)} × {gpu}" for gpu in dict.fromkeys(gpus)),
        f"{machine['processor']}, {machine['cores']} core{'s' * (machine['cores'] != 1)}",
        *(f"{name} {machine[name]}" for name in ("torch", "cuda", "cudnn", "driver") if machine.get(name)),
    ]
    return ", ".join(map(str, parts))
