"""Damaged weights and checkpoints: none may give other tensors or another spec than the file that was written."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tools.fuzz.engine import Fault, Subject
from vidsemi.data.input_spec import InputSpec
from vidsemi.models.weights import read_weights
from vidsemi.models.weights_file import NetworkSpec, load_weights, save_weights
from vidsemi.training.checkpoint import Checkpoints

MEAN = (0.45, 0.45, 0.45)
SPEC = NetworkSpec("r2plus1d_10", {"width": 1 / 64}, ["a", "b", "c"], InputSpec(4, 1, (32, 32), 28, MEAN, MEAN))


def make(folder: Path) -> list[Path]:
    """Write weights to load, weights to start from, and a checkpoint, each in a folder of its own."""
    torch.manual_seed(0)
    network = SPEC.build()
    files = [folder / name / "w.pt" for name in ("load", "init_from")]
    for file in files:
        save_weights(file, network, SPEC, {"seed": 0})
    state = {"network": network.state_dict(), "losses": [0.5, 0.25], "unreadable": [3], "micro_batches": 2}
    return [*files, Checkpoints(folder / "checkpoint", "run").save(64, state)]


def read(file: Path, good: Path) -> str:
    """Read a damaged file as the commands do that need it; a `Fault` if it holds anything else than the good one."""
    load = READERS[good.parent.name]
    if _equal(load(file), load(good)):
        return "read, the same content"
    raise Fault(f"other content of a file to {good.parent.name}")


def _load(file: Path) -> Any:
    network, spec = load_weights(file)
    return dict(network.state_dict()), spec


def _init_from(file: Path) -> Any:
    weights = read_weights(str(file))
    return weights.tensors, weights.spec


def _checkpoint(file: Path) -> Any:
    """Checkpoints are known by their names: give this one the name of the good one, in a folder of this process."""
    named = file.parent / f"{file.stem}-{os.getpid()}" / "checkpoint-000000000064.pt"
    named.parent.mkdir(exist_ok=True)
    named.unlink(missing_ok=True)
    named.hardlink_to(file)
    try:
        return Checkpoints(named.parent, "run").load(named)
    finally:
        named.unlink()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(own, other[key]) for key, own in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


READERS: dict[str, Callable[[Path], Any]] = {"load": _load, "init_from": _init_from, "checkpoint": _checkpoint}
SUBJECT = Subject("weights files", make, read)
