"""`tools/bench.py feed`: how fast clips come to GPUs, and what limits them for a number of GPUs and cores."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench.measure import chosen, failure, median, paths_of, rounded, run_in_turn, versions
from vidsemi.runtime.process import processor, usable_cores

GPUS, CORES = (1, 2, 4, 8), (8, 16, 32, 64, 96, 128)  # of the table of limits

# By name: clips that are taken from a file at a time; 0 are the ten test clips.
KINDS = {"scoring": 0, "training, 1 clip a file": 1, "training, 4 clips a file": 4}
ORIGINALS, COPIES = "originals", "small copies"
READING, HOST, FEED = "reading", "host", "feed"


class Limit(NamedTuple):
    """The rate that a machine reaches, and what limits it."""

    clips_per_second: float
    name: str


def limit(gpus: int, cores: int, device: float, reading: float, host: float) -> Limit:
    """The lowest of three limits.

    Args:
        gpus: of the machine, each with a process of its own that hands clips to it.
        cores: of the machine, which read and run these processes.
        device: clips per second of one GPU.
        reading: clips per CPU second of a reading process.
        host: clips per CPU second of a process that hands clips over.
    """
    limits = (
        Limit(gpus * device, "GPU"),
        Limit(cores / (1 / reading + 1 / host), "reading"),
        Limit(gpus * host, "host"),
    )
    return min(limits)


def bench_feed(
    files: Sequence[Path],
    *,
    frames: int,
    rounds: int,
    seconds: float,
    data: Path,
    device_rate: Sequence[float] | None = None,
    parts_only: bool = False,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure the rates, and compare them with those of a device.

    Args:
        files: videos, used repeatedly.
        frames: clip length T.
        rounds: runs of each measurement.
        seconds: minimum timed in a run.
        data: folder for the small copies that `vidsemi shrink` makes.
        device_rate: clips per second of one GPU in scoring and in training; None leaves out the table of limits.
        parts_only: leave out the rates from files to the sink, which other programs on the machine slow down.
        only: names of `KINDS`; all if empty.

    Returns:
        A JSON object: the setting, the machine, and for each kind a row of medians and its limits.
    """
    load = os.getloadavg()[0]
    paths = {ORIGINALS: paths_of(files)}
    paths[COPIES] = small_copies(paths[ORIGINALS], data)
    kinds, measured = chosen(list(KINDS), only), [READING] if parts_only else [READING, FEED]
    commands: dict[str, list[Any]] = {}
    for kind in kinds:
        commands[f"{kind}: {HOST}"] = [HOST, frames, KINDS[kind], seconds]
        for of, own in paths.items():
            commands |= {f"{kind}: {what}, {of}": [what, frames, KINDS[kind], seconds, *own] for what in measured}
    runs = run_in_turn("tools.bench.feed_contenders", commands, rounds=rounds, title="bench feed")
    rates = {name: median(own, "clips_per_second") for name, own in runs.items()}
    rows = []
    for kind in kinds:
        own_rates = {
            name.removeprefix(f"{kind}: "): rate for name, rate in rates.items() if name.startswith(f"{kind}:")
        }
        device = device_rate[bool(KINDS[kind])] if device_rate else None
        failed = next(
            (why for name, own in runs.items() if name.startswith(f"{kind}:") and (why := failure(own))), None
        )
        limits = {of: _limits(own_rates, of, device) for of in paths}
        rows.append({"name": kind, "rates": own_rates, "device": device, "limits": limits, "failed": failed})
    return {
        "files": paths[ORIGINALS],
        "frames": frames,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "load": load,
        "versions": versions("torch", "av"),
        "kinds": rows,
    }


def _limits(rates: dict[str, float | None], of: str, device: float | None) -> list[dict[str, Any]]:
    """The limit of each number of GPUs and cores."""
    reading, host = rates[f"{READING}, {of}"], rates[HOST]
    if not (reading and host and device):
        return []
    found = {(gpus, cores): limit(gpus, cores, device, reading, host) for gpus in GPUS for cores in CORES}
    return [{"gpus": gpus, "cores": cores, **own._asdict()} for (gpus, cores), own in found.items()]


def small_copies(paths: Sequence[str], data: Path) -> list[str]:
    """Copies of videos as `vidsemi shrink` makes them, once."""
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.manifest_file import write_manifest
    from vidsemi.data.shrink import Encoding, shrink_corpus

    folder = data / "feed" / hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder / "originals.parquet", {"path": list(paths)})
    originals = load_manifest(folder / "originals.parquet")
    summary = shrink_corpus(originals, folder / "copies", Encoding(), workers=usable_cores(), seconds=600)
    copies = load_manifest(Path(summary.manifest))
    return [str(Path(copies.row(number).path).resolve()) for number in range(len(copies))]


HEADER = (
    "clips a second",
    "reading, a core",
    "of small copies",
    "host, a process",
    "host, ms a clip",
    "from files, {} cores",
    "from small copies",
)


def text(document: dict[str, Any]) -> str:
    """The document as Markdown tables."""
    from vidsemi.io.tables import markdown_table

    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    lines = [
        f"{len(document['files'])} files, clips of {document['frames']}×112×112; a virtual sink in place of a GPU",
        f"medians of {document['rounds']} runs, each in a fresh process; reading and host in CPU seconds",
        f"{document['cores']} cores of {document['processor']}, load {document['load']:.1f} at the start; {used}",
        "",
        *markdown_table(tuple(head.format(document["cores"]) for head in HEADER), list(map(_cells, document["kinds"]))),
    ]
    for kind in document["kinds"]:
        rows = [
            (f"{of}, {gpus} GPU{'s' * (gpus > 1)}", *[_limit_cell(own, gpus, cores) for cores in CORES])
            for of, own in kind["limits"].items()
            if own
            for gpus in GPUS
        ]
        if rows:
            given = f"clips/s at most and what limits them, if a GPU takes {kind['device']:g} clips/s"
            header = ("machine", *[f"{cores} cores" for cores in CORES])
            lines += ["", f"{kind['name']}: {given}", "", *markdown_table(header, rows)]
    return "\n".join(lines)


def _cells(kind: dict[str, Any]) -> tuple[str, ...]:
    rates = kind["rates"]
    host = rates[HOST]
    return (
        kind["name"],
        kind["failed"] or rounded(rates[f"{READING}, {ORIGINALS}"], "{:.0f}"),
        rounded(rates[f"{READING}, {COPIES}"], "{:.0f}"),
        rounded(host, "{:.0f}"),
        rounded(host and 1e3 / host, "{:.2f}"),
        rounded(rates.get(f"{FEED}, {ORIGINALS}"), "{:.0f}"),
        rounded(rates.get(f"{FEED}, {COPIES}"), "{:.0f}"),
    )


def _limit_cell(limits: list[dict[str, Any]], gpus: int, cores: int) -> str:
    own = next(one for one in limits if (one["gpus"], one["cores"]) == (gpus, cores))
    return f"{own['clips_per_second']:,.0f} {own['name']}"
