"""What benchmarks share: a contender runs in a process of its own, the machine is named, figures are medians."""

import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The contenders that are wanted, in their order; all if `only` is empty."""
    if unknown := [name for name in only if name not in names]:
        raise UserError(f"there is no contender '{unknown[0]}'; they are: {', '.join(names)}")
    return [name for name in names if not only or name in only]


def paths_of(files: Sequence[Path]) -> list[str]:
    """Absolute paths of files that must be there."""
    for file in files:
        if not file.is_file():
            raise UserError(f"there is no file {file}")
    return [str(file.resolve()) for file in files]


def run_in_turn(
    module: str, commands: Mapping[str, Sequence[Any]], *, rounds: int, title: str
) -> dict[str, list[dict]]:
    """Run each contender once a round, in a fresh process, so that all of them meet the same hours of the machine.

    Args:
        module: that prints what it measured as JSON when it is run.
        commands: its arguments by contender.
        rounds: how often each is run.
        title: for the progress bar.

    Returns:
        By contender what each run printed, with `process_seconds`; {"failed": why} of a run that did not end well.
    """
    runs: dict[str, list[dict]] = {name: [] for name in commands}
    with progress_bar(rounds * len(commands), "run", title) as bar:
        for _ in range(rounds):
            for name, words in commands.items():
                runs[name].append(_run(module, words))
                bar.update()
    return runs


def _run(module: str, words: Sequence[Any]) -> dict[str, Any]:
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return {"failed": f"failed: {errors[-1] if errors else 'it was killed, perhaps for want of memory'}"}
    return {**json.loads(done.stdout.splitlines()[-1]), "process_seconds": time.perf_counter() - begin}


def failure(runs: list[dict[str, Any]]) -> str | None:
    """Why a contender has no figures, if it has none."""
    return next((run["failed"] for run in runs if "failed" in run), None)


def median(runs: list[dict[str, Any]], key: str) -> float | None:
    """Median of a figure; None where a run failed."""
    return None if failure(runs) else statistics.median(run[key] for run in runs)


def rounded(value: float | None, form: str) -> str:
    """A figure as text; nothing where there is none."""
    return "" if value is None else form.format(value)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
