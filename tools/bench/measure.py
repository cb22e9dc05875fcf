"""Run contenders in fresh processes, and take medians of what they measure."""

import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The contenders named by `only`, in the order of `names`; all if it is empty."""
    if unknown := [name for name in only if name not in names]:
        known = ", ".join(names)
        raise UserError("bench.unknown_contender", f"there is no contender '{unknown[0]}'; they are: {known}")
    return [name for name in names if not only or name in only]


def paths_of(files: Sequence[Path]) -> list[str]:
    """Absolute paths of files, which must exist."""
    for file in files:
        if not file.is_file():
            raise UserError("bench.missing_file", f"there is no file {file}")
    return [str(file.resolve()) for file in files]


def run_in_turn(
    module: str, commands: Mapping[str, Sequence[Any]], *, rounds: int, title: str
) -> dict[str, list[dict]]:
    """Run each contender once per round, in a fresh process, so that slow periods of the machine hit all of them.

    Args:
        module: to run; prints its measurements as JSON.
        commands: its arguments by contender.
        rounds: runs of each contender.
        title: for the progress bar.

    Returns:
        By contender the measurements of each run and `process_seconds`; {"failed": reason} for a run that failed.
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
        return {"failed": f"failed: {errors[-1] if errors else 'it was killed, perhaps because memory was short'}"}
    return {**json.loads(done.stdout.splitlines()[-1]), "process_seconds": time.perf_counter() - begin}


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """So many other programs compute at niceness 10 while the block runs."""
    programs = [
        subprocess.Popen([sys.executable, "-c", "import os\nos.nice(10)\nwhile True: pass"]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def failure(runs: list[dict[str, Any]]) -> str | None:
    """The reason of the first run that failed, if any."""
    return next((run["failed"] for run in runs if "failed" in run), None)


def median(runs: list[dict[str, Any]], key: str) -> float | None:
    """Median of a measurement; None if a run failed."""
    return None if failure(runs) else statistics.median(run[key] for run in runs)


def named(device: Any) -> str:
    """The model of a GPU, or the type of another torch device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def rounded(value: float | None, form: str) -> str:
    """A number as text; empty for None."""
    return "" if value is None else form.format(value)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of the installed ones of these packages."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
