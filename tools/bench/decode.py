"""`tools/bench.py decode`: read the ten test clips of a video, against peers and the limit of bare decoding."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.bench.decode_contenders import CONTENDERS, POOL
from tools.bench.measure import chosen, failure, median, paths_of, rounded, run_in_turn, versions
from vidsemi.io.errors import UserError
from vidsemi.runtime.process import processor, usable_cores

LENGTHS = (8, 32)  # frames per clip
PACKAGES = ("av", "decord", "torchcodec", "pytorchvideo", "torchvision", "torch", "numpy")


def bench_decode(files: list[Path], *, repeats: int, rounds: int, only: list[str]) -> dict[str, Any]:
    """Run the contenders.

    Args:
        files: videos.
        repeats: passes over all files in a run.
        rounds: runs of each contender.
        only: names of contenders; all if empty.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians for both clip lengths.
    """
    pools = [f"{POOL}{workers}" for workers in sorted({1, usable_cores()})]
    names = chosen([*CONTENDERS, *pools], only)
    paths = paths_of(files)
    commands = {(name, length): [name, length, repeats, *paths] for length in LENGTHS for name in names}
    runs = run_in_turn(
        "tools.bench.decode_contenders",
        {f"{name} {length}": words for (name, length), words in commands.items()},
        rounds=rounds,
        title="bench decode",
    )
    table = []
    for name in names:
        row: dict[str, Any] = {"name": name, "failed": None}
        for length in LENGTHS:
            own = runs[f"{name} {length}"]
            ours = median(runs.get(f"vidsemi {length}", [{"failed": "not run"}]), "videos_per_second")
            rate = median(own, "videos_per_second")
            row["failed"] = row["failed"] or failure(own)
            row[f"videos_per_second_{length}"] = rate
            row[f"all_{length}"] = [run.get("videos_per_second") for run in own]
            row[f"over_vidsemi_{length}"] = rate / ours if rate and ours else None
            row[f"difference_{length}"] = own[0].get("difference")
        table.append(row)
    return {
        "files": paths,
        "views": 10,
        "rounds": rounds,
        "repeats": repeats,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions(*PACKAGES),
        "contenders": table,
    }


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    header = (
        "contender",
        *[f"T = {t}: videos/s" for t in LENGTHS],
        *[f"T = {t}: of vidsemi's" for t in LENGTHS],
        "differs",
    )
    rows = []
    for row in document["contenders"]:
        rates = [rounded(row[f"videos_per_second_{length}"], "{:.2f}") for length in LENGTHS]
        ratios = [rounded(row[f"over_vidsemi_{length}"], "{:.2f}") for length in LENGTHS]
        rows.append((row["name"], *rates, *ratios, row["failed"] or rounded(row[f"difference_{LENGTHS[0]}"], "{:.2f}")))
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{len(document['files'])} files, V = 10 clips of T frames at 128×171, on one core, or with worker processes\n"
        f"medians of {document['rounds']} runs of {document['repeats']} passes, each run in a fresh process; "
        "`differs`: mean difference from vidsemi's pixels (of 255)\n"
        f"{document['cores']} cores of {document['processor']}; {used}\n"
    )
    return "\n".join([setting, *markdown_table(header, rows)])


def made_files(script: Path, folder: Path) -> list[Path]:
    """Clips of datasets/moving_shapes, generated once by its script."""
    target = folder / "moving_shapes"
    if not (target / "test.csv").exists():
        sizes = ["--labeled", "1", "--unlabeled", "1", "--no-class", "1", "--test", "2"]
        if subprocess.run([sys.executable, script, "--output", target, *sizes], stdout=sys.stderr).returncode:
            raise UserError("bench.no_videos", f"{script} failed; its output is above")
    return sorted(target.rglob("*.mp4"))
