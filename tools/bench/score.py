"""`tools/bench.py score`: score a dataset from video files to score shards, against peers and two limits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.measure import chosen, failure, median, named, paths_of, rounded, run_in_turn, versions
from vidsemi.runtime.process import processor, usable_cores

DECODE, NETWORK, OURS = "decode alone", "network alone, ", "vidsemi, "
PRECISIONS = ("float32", "bfloat16")
PEERS = ("pytorchvideo", "torchvision Kinetics")
NAMES = (DECODE, *[prefix + precision for precision in PRECISIONS for prefix in (NETWORK, OURS)], *PEERS)
PACKAGES = ("torch", "torchvision", "pytorchvideo", "torchcodec", "av")

# By name: model, its arguments, and the share of the videos to score with it.
NETWORKS: dict[str, tuple[str, dict[str, float], float]] = {
    "R(2+1)D-10, 8 base planes": ("r2plus1d_10", {"width": 0.125}, 1.0),
    "R(2+1)D-18": ("r2plus1d_18", {}, 0.1),
}


def bench_score(
    files: Sequence[Path],
    *,
    videos: int,
    rounds: int,
    data: Path,
    only: Sequence[str] = (),
    models: Sequence[str] = (),
    device: str = "auto",
) -> dict[str, Any]:
    """Time the contenders.

    Args:
        files: videos, used repeatedly.
        videos: number that a contender scores in a run; a tenth of them with the large network.
        rounds: runs of each contender.
        data: folder for the weights of the untrained networks.
        only: names of contenders; all if empty.
        models: names of models; all of `NETWORKS` if empty.
        device: torch device or auto.

    Returns:
        A JSON object: the setting, the machine, and for each network and contender a row of medians.
    """
    from vidsemi.config import Runtime
    from vidsemi.runtime.device import pick_device

    names, paths, where = chosen(NAMES, only), paths_of(files), pick_device(Runtime(device=device))
    repeats = {
        network: max(round(videos * share / len(paths)), 1)
        for network, (model, _, share) in NETWORKS.items()
        if not models or model in models
    }
    commands: dict[str, list[Any]] = {}
    for network in repeats:
        weights = untrained_weights(network, data)
        commands |= {f"{network}: {name}": [name, weights, repeats[network], where, *paths] for name in names}
    runs = run_in_turn("tools.bench.score_contenders", commands, rounds=rounds, title="bench score")
    shared = where.type == "cpu"
    tables = {network: _rows({name: runs[f"{network}: {name}"] for name in names}, shared) for network in repeats}
    return {
        "files": paths,
        "videos": {network: times * len(paths) for network, times in repeats.items()},
        "device": named(where),
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions(*PACKAGES),
        "networks": tables,
    }


def _rows(runs: dict[str, list[dict[str, Any]]], shared: bool) -> list[dict[str, Any]]:
    """A row per contender: its rate, also relative to the limits of decoding and network, and to each peer.

    `shared`: the network computes on the cores that decode, so that each video costs core time for both.
    """
    rates = {name: median(own, "videos_per_second") for name, own in runs.items()}
    rows = []
    for name, own in runs.items():
        row: dict[str, Any] = {
            "name": name,
            "videos_per_second": rates[name],
            "peak_mib": median(own, "peak_mib"),
            "all": [run.get("videos_per_second") for run in own],
            "failed": failure(own),
        }
        ours = rates[name] if name.startswith(OURS) else None
        decode, network = rates.get(DECODE), rates.get(NETWORK + name.removeprefix(OURS))
        if ours and decode and network:
            row["of_lower_limit"] = ours / min(decode, network)
            row["of_shared_limit"] = ours * (1 / decode + 1 / network) if shared else None
        if ours:
            row["over_peers"] = {peer: ours / rate for peer in PEERS if (rate := rates.get(peer))}
        rows.append(row)
    return rows


def text(document: dict[str, Any]) -> str:
    """The document as Markdown tables."""
    from vidsemi.io.tables import markdown_table

    over = [f"over {peer}" for peer in PEERS]
    header = ("contender", "videos/s", "of lower limit", "of shared limit", *over, "peak MiB")
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    lines = [
        f"{len(document['files'])} files again and again, V = 10 clips of 8×112×112, 400 classes, untrained networks",
        f"medians of {document['rounds']} runs, each in a fresh process",
        f"on {document['device']}; {document['cores']} cores of {document['processor']}; {used}",
    ]
    for network, rows in document["networks"].items():
        cells = [
            (
                row["name"],
                row["failed"] or rounded(row["videos_per_second"], "{:.2f}"),
                rounded(row.get("of_lower_limit"), "{:.2f}"),
                rounded(row.get("of_shared_limit"), "{:.2f}"),
                *[rounded(row.get("over_peers", {}).get(peer), "{:.2f}") for peer in PEERS],
                rounded(row["peak_mib"], "{:.0f}"),
            )
            for row in rows
        ]
        lines += ["", f"{network}, {document['videos'][network]} videos", "", *markdown_table(header, cells)]
    return "\n".join(lines)


def untrained_weights(network: str, folder: Path) -> Path:
    """The weights file of an untrained network, written once."""
    import torch

    from vidsemi.config import Input
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.models.weights_file import NetworkSpec, save_weights

    model, args, _ = NETWORKS[network]
    file = folder / "networks" / f"{model}_{args.get('width', 1)}.pt"
    if not file.exists():
        default = Input()
        spec = InputSpec(8, default.stride, default.resize, default.crop, default.mean, default.std)
        torch.manual_seed(0)
        built = NetworkSpec(model, args, [f"class {number}" for number in range(400)], spec)
        save_weights(file, built.build(), built, {"made for": "bench score"})
    return file.resolve()
