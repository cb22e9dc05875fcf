"""`tools/bench.py forward`: forward passes of R(2+1)D-18, vidsemi's and torchvision's, eager, prepared, compiled."""

from collections.abc import Sequence
from typing import Any

from tools.bench.forward_contenders import CLASSES, NETWORKS
from tools.bench.measure import chosen, failure, median, named, rounded, run_in_turn, versions
from vidsemi.runtime.process import processor, usable_cores

# By name: network, treatment, precision.
CONTENDERS = {
    f"{network} {treatment}, {precision}": (network, treatment, precision)
    for precision in ("float32", "bfloat16")
    for network, treatment in (
        ("torchvision", "eager"),
        ("torchvision", "prepared"),
        ("vidsemi", "eager"),
        ("vidsemi", "prepared"),
        ("vidsemi", "compiled"),
    )
}
YARDSTICK = "torchvision eager, {}"  # of the same precision
SECONDS = 5.0  # minimum timed per run


def bench_forward(
    *, frames: int, size: int, clips: int | None, device: str, rounds: int, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Time the contenders.

    Args:
        frames: clip length T.
        size: side of the clips.
        clips: per pass; None for the number of scoring on the device.
        device: torch device or auto.
        rounds: runs of each contender.
        only: names of contenders; all if empty.

    Returns:
        A JSON object: the setting, the machine, the cost of each network, and for each contender a row of medians.
    """
    from vidsemi.config import Runtime
    from vidsemi.models.flops import measure_cost
    from vidsemi.runtime.device import clips_per_forward, pick_device

    names = chosen(list(CONTENDERS), only)
    runtime = Runtime(device=device, clips_per_forward=clips)
    where = pick_device(runtime)
    many = clips_per_forward(runtime, where)
    gmacs = {
        network: measure_cost(build(frames), frames=frames, size=size).gmacs_per_view
        for network, build in NETWORKS.items()
    }
    commands = {name: [*CONTENDERS[name], frames, size, many, where, SECONDS] for name in names}
    runs = run_in_turn("tools.bench.forward_contenders", commands, rounds=rounds, title="bench forward")
    return {
        "frames": frames,
        "size": size,
        "clips": many,
        "device": named(where),
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("torch", "torchvision"),
        "gmacs_per_clip": gmacs,
        "contenders": _rows(runs, gmacs),
    }


def _rows(runs: dict[str, list[dict[str, Any]]], gmacs: dict[str, float]) -> list[dict[str, Any]]:
    """A row per contender: its rate, and its multiply-adds per second relative to the yardstick's."""
    rates = {name: median(own, "clips_per_second") for name, own in runs.items()}
    work = {name: rate and rate * gmacs[CONTENDERS[name][0]] for name, rate in rates.items()}
    rows = []
    for name, own in runs.items():
        _, treatment, precision = CONTENDERS[name]
        mine, yardstick = work[name], work.get(YARDSTICK.format(precision))
        rows.append(
            {
                "name": name,
                "clips_per_second": rates[name],
                "gmacs_per_second": mine,
                "per_multiply_add_over_torchvision": mine / yardstick if mine and yardstick else None,
                "peak_mib": median(own, "peak_mib"),
                "compile_seconds": _compile_seconds(own) if treatment == "compiled" else None,
                "all": [run.get("clips_per_second") for run in own],
                "failed": failure(own),
            }
        )
    return rows


def _compile_seconds(runs: list[dict[str, Any]]) -> float | None:
    """Seconds by which the first pass was longer than the later ones."""
    first, later = median(runs, "first_seconds"), median(runs, "seconds_a_pass")
    return None if first is None or later is None else first - later


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    header = ("contender", "clips/s", "GMAC/s", "per multiply-add, of torchvision eager", "peak MiB", "compile s")
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    costs = ", ".join(f"{network} {gmacs:.2f}" for network, gmacs in document["gmacs_per_clip"].items())
    cells = [
        (
            row["name"],
            row["failed"] or rounded(row["clips_per_second"], "{:.2f}"),
            rounded(row["gmacs_per_second"], "{:.0f}"),
            rounded(row["per_multiply_add_over_torchvision"], "{:.2f}"),
            rounded(row["peak_mib"], "{:.0f}"),
            rounded(row["compile_seconds"], "{:.0f}"),
        )
        for row in document["contenders"]
    ]
    return "\n".join(
        [
            f"R(2+1)D-18, {CLASSES} classes, untrained; GMAC a clip: {costs}",
            f"{document['clips']} clips of {document['frames']}×{document['size']}×{document['size']} a pass",
            f"medians of {document['rounds']} runs, each in a fresh process",
            f"on {document['device']}; {document['cores']} cores of {document['processor']}; {used}",
            "",
            *markdown_table(header, cells),
        ]
    )
