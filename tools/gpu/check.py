"""The GPU check: sections in processes of their own, the most valuable first, each with a time limit.

An error of the device spoils one section only. Each result is a line of results.jsonl as soon as it is known; what the
deadline leaves no time for is skipped. At the end report.md has the tables and the verdicts.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.gpu.measure import ROW, Options
from tools.gpu.report import report

ROOT = Path(__file__).resolve().parents[2]
RESULT = "RESULT "
# Seconds that each section should take on an H100 with 16 cores, and its limit.
SECTIONS = {
    "machine": (20, 40),
    "tests": (60, 100),
    "convolutions": (45, 80),
    "train": (75, 110),
    "forward": (60, 90),
    "score": (55, 80),
    "profile": (30, 50),
    "resume": (25, 50),
    "memory": (20, 40),
    "decode": (40, 60),
    "accuracy": (75, 110),
    "files": (35, 50),
}
WORTHWHILE = 0.6  # of its usual time that must be left for a section to start


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="gpu_check.py", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("gpu_check"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=540, help="for all sections (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s")
    parser.add_argument("--clip", default="", help="a video to decode; one is made without it")
    parser.add_argument("--small", action="store_true", help="do as little as shows that the check works")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies the time limits of the sections")
    parser.add_argument("--section", choices=list(SECTIONS), help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections; the exit status is 1 if one of them failed."""
    given = build_parser().parse_args(arguments)
    options = Options(given.device, given.small, given.clip, given.output.resolve())
    if given.section:
        from tools.gpu.sections import run_section

        print(RESULT + json.dumps(run_section(given.section, options), default=str), flush=True)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.output.mkdir(parents=True, exist_ok=True)
    results = run_sections(options, given.only, given.seconds, given.patience)
    text = report(results)
    (options.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any("failed" in result for result in results.values()))


def run_sections(options: Options, names: Sequence[str], seconds: float, patience: float) -> dict[str, dict[str, Any]]:
    """Run sections until the time is over; returns the result of each by name."""
    begin, results = time.monotonic(), {}
    for name in names:
        left = seconds - (time.monotonic() - begin)
        usual, limit = (patience * own for own in SECTIONS[name])
        started = time.monotonic()
        if left < WORTHWHILE * usual:
            results[name] = {"skipped": f"{left:.0f} s were left"}
        else:
            results[name] = _run(options, name, min(limit, left))
        took = round(time.monotonic() - started, 1)
        with open(options.output / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"section": name, "seconds": took, **results[name]}) + "\n")
        print(f"{name}: {took:.0f} s{', FAILED' if 'failed' in results[name] else ''}", file=sys.stderr, flush=True)
    return results


def _run(options: Options, name: str, limit: float) -> dict[str, Any]:
    words = [sys.executable, "-m", "tools.gpu.check", "--section", name, "--device", options.device]
    words += ["--clip", options.clip, "--output", str(options.output), *(["--small"] if options.small else [])]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    log = options.output / f"{name}.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            words,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:  # and whatever it has started
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    log.unlink()
    with open(options.output / "log.txt", "a", encoding="utf-8") as together:
        together.write("\n".join([f"===== {name}", *(line[-2000:] for line in lines[-400:]), ""]))
    result = next((json.loads(line[len(RESULT) :]) for line in reversed(lines) if line.startswith(RESULT)), None)
    if result is not None:
        return result
    rows = [json.loads(line[len(ROW) :]) for line in lines if line.startswith(ROW)]
    why = f"killed after {limit:.0f} s" if process.returncode < 0 else (lines or ["no output"])[-1]
    return {"failed": why, "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
