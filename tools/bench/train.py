"""`tools/bench.py train`: train on clips in memory and from files, by vidsemi and by a plain loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.measure import busy_programs, chosen, failure, median, named, paths_of, rounded, run_in_turn, versions
from tools.bench.train_contenders import CLASSES, Setting
from vidsemi.config import Runtime
from vidsemi.models.flops import measure_cost
from vidsemi.runtime.device import pick_device
from vidsemi.runtime.process import processor, usable_cores

PRECISIONS = ("float32", "bfloat16")
LIMIT, PLAIN = "matrix product", "plain loop"

# By device type, from memory: on CPUs vidsemi uses channels last, and returning freed memory is expensive.
TREATMENTS = {
    "cpu": {
        "float32": (LIMIT, PLAIN, "plain loop, freed memory kept", "vidsemi as the plain loop", "vidsemi"),
        "bfloat16": (LIMIT, PLAIN, "vidsemi"),
    },
    "cuda": {
        "float32": (LIMIT, PLAIN, "vidsemi"),
        "bfloat16": (LIMIT, PLAIN, "vidsemi", "vidsemi, channels last"),
    },
}
COMPILED = "vidsemi, compiled"
MEMORY: tuple[str, str, dict[str, float]] = ("R(2+1)D-18", "r2plus1d_18", {})
SECONDS = 20.0  # minimum timed per run from memory

READING, NETWORK, PEER, PEER_READING = (
    "reading alone",
    "network alone",
    "pytorchvideo",
    "pytorchvideo, reading alone",
)

# By name, from files: reader, clips per file.
READERS = {
    NETWORK: (NETWORK, 1),
    PEER_READING: (PEER_READING, 1),
    READING: (READING, 1),
    f"{READING}, 4 clips a file": (READING, 4),
    f"{READING}, 8 clips a file": (READING, 8),
    PEER: (PEER, 1),
    "vidsemi": ("vidsemi", 1),
    "vidsemi, readers always nice": ("always nice", 1),
    "vidsemi, readers never nice": ("never nice", 1),
    "vidsemi, 4 clips a file": ("vidsemi", 4),
    "vidsemi, 8 clips a file": ("vidsemi", 8),
}

# By model, from files: name, arguments, clips per step, and the share of the clips to train on.
FILES: dict[str, tuple[str, dict[str, float], int, float]] = {
    "r2plus1d_10": ("R(2+1)D-10, 8 base planes", {"width": 0.125}, 32, 1.0),
    "r2plus1d_18": ("R(2+1)D-18", {}, 8, 0.1),
}


def bench_train(
    files: Sequence[Path],
    *,
    frames: int,
    size: int,
    batch: int | None,
    videos: int,
    model: str,
    device: str,
    rounds: int,
    programs: int = 0,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Time the contenders.

    Args:
        files: videos, used repeatedly.
        frames: clip length T.
        size: side of the clips.
        batch: clips per step from memory; by default 8 on a CPU, elsewhere 64: with few a GPU waits for launches.
        videos: clips per run from files, in whole steps; a tenth of them for the large network.
        model: network to train from files, a key of `FILES`.
        device: torch device or auto.
        rounds: runs of each contender.
        programs: other programs that compute all the time beside the runs from files, at niceness 10.
        only: names of contenders; all if empty.

    Returns:
        A JSON object: the setting, the machine, and two tables of medians, `memory` and `files`, a row per contender.
    """
    where = pick_device(Runtime(device=device))
    treatments = treatments_on(where.type)
    names = chosen([*treatments, *READERS], only)
    batch = batch or (8 if where.type == "cpu" else 64)
    title, large, args = MEMORY
    setting = Setting(large, args, frames, size, batch, str(where))
    gmacs = measure_cost(setting.network(), frames=frames, size=size).gmacs_per_view
    commands = {name: [*treatments[name], setting.to_json(), SECONDS] for name in names if name in treatments}
    from_memory = run_in_turn("tools.bench.train_contenders", commands, rounds=rounds, title="bench train, memory")

    fed, args, step, share = FILES[model]
    setting = Setting(model, args, frames, size, step, str(where))
    paths, clips = paths_of(files), max(round(videos * share / step), 1) * step
    commands = {name: [*READERS[name], setting.to_json(), clips, *paths] for name in names if name in READERS}
    with busy_programs(programs):
        from_files = run_in_turn("tools.bench.train_readers", commands, rounds=rounds, title="bench train, files")
    return {
        "frames": frames,
        "size": size,
        "batch": batch,
        "device": named(where),
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("torch", "pytorchvideo", "av"),
        "memory": {"network": title, "gmacs_per_clip": gmacs, "contenders": memory_rows(from_memory, gmacs)},
        "files": {
            "network": fed,
            "programs": programs,
            "files": paths,
            "clips": clips,
            "batch": step,
            "contenders": file_rows(from_files, shared=where.type == "cpu"),
        },
    }


def treatments_on(kind: str) -> dict[str, tuple[str, str]]:
    """Treatment and precision of each contender from memory, by name, for a device type."""
    own = TREATMENTS.get(kind, TREATMENTS["cuda"])
    return {
        f"{treatment}, {precision}": (treatment, precision)
        for precision in PRECISIONS
        for treatment in (*own[precision], COMPILED)
    }


def memory_rows(runs: dict[str, list[dict[str, Any]]], gmacs: float) -> list[dict[str, Any]]:
    """A row per contender: its rate, also relative to the plain loop and to the device's peak.

    Args:
        runs: measurements of each contender.
        gmacs: 10^9 multiply-adds of a forward pass per clip; the backward pass has twice as many.
    """
    operations = 2 * 3 * gmacs * 1e9
    rates = {}
    for name, own in runs.items():
        if name.startswith(LIMIT):
            flops = median(own, "flops_per_second")
            rates[name] = flops and flops / operations
        else:
            rates[name] = median(own, "clips_per_second")
    rows = []
    for name, own in runs.items():
        precision = name.rpartition(", ")[2]
        is_limit = name.startswith(LIMIT)
        rows.append(
            {
                "name": name,
                "clips_per_second": rates[name],
                "over_plain_loop": None if is_limit else _ratio(rates, name, f"{PLAIN}, {precision}"),
                "over_plain_loop_float32": None if is_limit else _ratio(rates, name, f"{PLAIN}, float32"),
                "of_matrix_product": _ratio(rates, name, f"{LIMIT}, {precision}"),
                "peak_mib": None if is_limit else median(own, "peak_mib"),
                "compile_seconds": _compile_seconds(own) if name.startswith(COMPILED) else None,
                "weights_finite": None if is_limit or failure(own) else all(run["weights_finite"] for run in own),
                "all": [run.get("flops_per_second" if is_limit else "clips_per_second") for run in own],
                "failed": failure(own),
            }
        )
    return rows


def file_rows(runs: dict[str, list[dict[str, Any]]], *, shared: bool) -> list[dict[str, Any]]:
    """A row per contender: its rate, also relative to the limits of reading and network, and to pytorchvideo.

    `shared`: the network computes on the cores that read, so that each clip costs core time for both.
    """
    rates = {name: median(own, "clips_per_second") for name, own in runs.items()}
    rows = []
    for name, own in runs.items():
        reader, each = READERS[name]
        read, network = rates.get(READING if each == 1 else f"{READING}, {each} clips a file"), rates.get(NETWORK)
        ours = rates[name] if name.startswith("vidsemi") else None
        row = {
            "name": name,
            "clips_per_second": rates[name],
            "peak_mib": median(own, "peak_mib"),
            "all": [run.get("clips_per_second") for run in own],
            "failed": failure(own),
        }
        if ours and read and network:
            row["of_lower_limit"] = ours / min(read, network)
            row["of_shared_limit"] = ours * (1 / read + 1 / network) if shared else None
        if ours or reader == READING:
            row["over_pytorchvideo"] = _ratio(rates, name, PEER if ours else PEER_READING)
        rows.append(row)
    return rows


def _ratio(rates: dict[str, float | None], one: str, other: str) -> float | None:
    above, below = rates[one], rates.get(other)
    return above / below if above and below else None


def _compile_seconds(runs: list[dict[str, Any]]) -> float | None:
    """Seconds by which the first step was longer than the later ones."""
    first, later = median(runs, "first_seconds"), median(runs, "seconds_a_step")
    return None if first is None or later is None else first - later


def text(document: dict[str, Any]) -> str:
    """The document as Markdown tables, without empty ones."""
    from vidsemi.io.tables import markdown_table

    memory, files = document["memory"], document["files"]
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    lines = [
        f"clips of {document['frames']}×{document['size']}×{document['size']}, {CLASSES} classes, untrained networks",
        f"medians of {document['rounds']} runs, each in a fresh process",
        f"on {document['device']}; {document['cores']} cores of {document['processor']}; {used}",
    ]
    if memory["contenders"]:
        given = f"{memory['gmacs_per_clip']:.2f} GMAC a clip forward, {document['batch']} clips a step, in memory"
        lines += ["", f"{memory['network']}, {given}", ""]
        lines += markdown_table(MEMORY_HEADER, list(map(_memory_cells, memory["contenders"])))
    if files["contenders"]:
        given = f"{files['clips']} clips, {files['batch']} a step, from {len(files['files'])} files"
        given += f", beside {files['programs']} busy programs" if files["programs"] else ""
        lines += ["", f"{files['network']}, {given}", ""]
        lines += markdown_table(FILES_HEADER, list(map(_file_cells, files["contenders"])))
    return "\n".join(lines)


MEMORY_HEADER = (
    "contender",
    "clips/s",
    "over plain loop",
    "over plain loop, float32",
    "of matrix product",
    "peak MiB",
    "compile s",
    "weights finite",
)
FILES_HEADER = ("contender", "clips/s", "of lower limit", "of shared limit", "over pytorchvideo", "peak MiB")


def _memory_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["failed"] or rounded(row["clips_per_second"], "{:.2f}"),
        rounded(row["over_plain_loop"], "{:.2f}"),
        rounded(row["over_plain_loop_float32"], "{:.2f}"),
        rounded(row["of_matrix_product"], "{:.2f}"),
        rounded(row["peak_mib"], "{:.0f}"),
        rounded(row["compile_seconds"], "{:.0f}"),
        {True: "yes", False: "no", None: ""}[row["weights_finite"]],
    )


def _file_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["failed"] or rounded(row["clips_per_second"], "{:.2f}"),
        rounded(row.get("of_lower_limit"), "{:.2f}"),
        rounded(row.get("of_shared_limit"), "{:.2f}"),
        rounded(row.get("over_pytorchvideo"), "{:.2f}"),
        rounded(row["peak_mib"], "{:.0f}"),
    )
