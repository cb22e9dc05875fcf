"""Damage good files by numbers and a seed, read each in a reader process, count the outcomes and keep what fails."""

import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.fuzz.damage import damage
from vidsemi.data.worker_pool import read_all
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.files import write_bytes
from vidsemi.io.progress import progress_bar
from vidsemi.io.tables import markdown_table

MEBIBYTE = 1 << 20


class Fault(Exception):  # noqa: N818  (as the reports call it)
    """A damaged file was read wrong, and nobody would notice; the message says how."""


@dataclass(frozen=True)
class Subject:
    """A kind of files to damage. Its functions are called in other processes, so they stand at the top of a module."""

    what: str  # plural, for the report
    make: Callable[[Path], list[Path]]  # writes small good files into a folder
    read: Callable[[Path, Path], str]  # a damaged file and the good one → a word on how it ended; may raise `Fault`


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    number: int
    seed: int
    good: Path
    other: Path

    @property
    def path(self) -> str:
        """For messages."""
        return str(self.good)

    def content(self) -> bytes:
        """The damaged file; the same each time."""
        rng = np.random.default_rng((self.seed, self.number))
        return damage(self.good.read_bytes(), self.other.read_bytes(), rng)


@dataclass(frozen=True)
class Result:
    """How a case ended in its reader."""

    outcome: str
    fault: bool
    seconds: float
    memory: int  # bytes, the most that this process ever took
    process: int


@dataclass(frozen=True)
class Read:
    """Reads a case in a worker process; can be pickled."""

    read: Callable[[Path, Path], str]
    folder: Path

    def __call__(self, case: Case) -> Result:
        """Write the damaged file, read it, and remove it."""
        file = self.folder / f"{case.number}{case.good.suffix}"
        file.write_bytes(case.content())
        begin, fault = time.perf_counter(), False
        try:
            outcome = self.read(file, case.good)
        except (DecodeError, UserError) as error:
            outcome = f"refused: {error.code}"
        except Fault as error:
            outcome, fault = f"wrong: {error}", True
        except Exception as error:
            outcome, fault = f"exception: {type(error).__name__}: {error}"[:200], True
        seconds = time.perf_counter() - begin
        file.unlink()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Result(outcome, fault, seconds, peak * (1 if sys.platform == "darwin" else 1024), os.getpid())


def fuzz(
    subject: Subject,
    *,
    files: Sequence[Path] = (),
    count: int,
    first: int = 0,
    seed: int = 0,
    output: Path,
    workers: int,
    seconds: float,
    memory: int = 1 << 30,
) -> dict[str, Any]:
    """Read `count` damaged files; those with faults are written to `output`.

    Args:
        subject: the kind of files.
        files: good files or folders of such; by default the subject makes some.
        count: number of damaged files.
        first: number of the first one. How a file is damaged depends on its number, the seed, and the good files.
        seed: of the damage.
        output: folder for what fails.
        workers: reader processes.
        seconds: a file that takes longer hangs.
        memory: bytes; a reader that takes more is a fault.

    Returns:
        A JSON object: counts by outcome, faults, the slowest file, and the peak memory of a reader.
    """
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    peaks: dict[int, int] = {}
    slowest, largest = 0.0, ""
    with tempfile.TemporaryDirectory(prefix="vidsemi-fuzz-") as folder:
        good = _good_files(files) or subject.make(Path(folder))
        cases = [_case(number, seed, good) for number in range(first, first + count)]
        read = Read(subject.read, Path(folder))
        with (
            closing(read_all(read, cases, workers=workers, seconds=seconds)) as results,
            progress_bar(count, "file", f"fuzz {subject.what}") as bar,
        ):
            for case, result in zip(cases, results, strict=True):
                bar.update()
                if isinstance(result, DecodeError):
                    kind = "hung" if result.code == "worker.timeout" else "crashed"
                    result = Result(f"{kind}: {result.reason}", True, seconds, 0, 0)
                outcomes[result.outcome] += 1
                slowest = max(slowest, result.seconds)
                before = peaks.get(result.process, 0)
                if result.memory > max(peaks.values(), default=0):
                    largest = f"{seed}-{case.number}{case.good.suffix}"
                grown = result.memory > memory >= before
                peaks[result.process] = max(result.memory, before)
                if result.fault or grown:
                    why = result.outcome if result.fault else f"memory: {result.memory // MEBIBYTE} MiB"
                    name = f"{seed}-{case.number}{case.good.suffix}"
                    write_bytes(output / name, case.content())
                    faults.append(f"{name} (from {case.good.name}): {why}")
    return {
        "subject": subject.what,
        "files": len(good),
        "first": first,
        "count": count,
        "seed": seed,
        "outcomes": dict(outcomes.most_common()),
        "faults": len(faults),
        "faulty": faults,
        "slowest_seconds": round(slowest, 2),
        "peak_mib": max(peaks.values()) // MEBIBYTE,
        "peak_file": largest,
        "output": str(output),
    }


def _good_files(files: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for file in files:
        if not file.exists():
            raise UserError("fuzz.missing_file", f"{file} does not exist")
        found += sorted(path for path in file.rglob("*") if path.is_file()) if file.is_dir() else [file]
    return found


def _case(number: int, seed: int, good: Sequence[Path]) -> Case:
    other = np.random.default_rng((seed, number, 1)).integers(len(good))
    return Case(number, seed, good[number % len(good)], good[int(other)])


def text(document: dict[str, Any]) -> str:
    """The result as text."""
    rows = [(outcome, f"{number:,}") for outcome, number in document["outcomes"].items()]
    last = document["first"] + document["count"] - 1
    lines = [
        f"{document['count']:,} damaged {document['subject']}, numbers {document['first']} to {last} of seed "
        f"{document['seed']}, from {document['files']} good ones",
        *markdown_table(("outcome", "files"), rows, text_columns=1),
        f"peak memory of a reader {document['peak_mib']} MiB ({document['peak_file']})",
        f"slowest file {document['slowest_seconds']} s",
        f"{document['faults']} faults" + (f", in {document['output']}:" if document["faults"] else ""),
        *document["faulty"],
    ]
    return "\n".join(lines)
