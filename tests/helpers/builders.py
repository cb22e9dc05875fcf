"""Small inputs of tests: score shards, manifests, network specs and config snippets."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsemi.selection import score_writer
from vidsemi.selection.score_format import ScoresInfo

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from vidsemi.models.weights_file import NetworkSpec


def write_shard(folder: Path, number: int, examples: np.ndarray, probabilities: np.ndarray, info: ScoresInfo) -> None:
    """Write a shard of scores from all probabilities, (N, classes)."""
    score_writer.write_shard(folder, number, examples, *score_writer.top_classes(probabilities, info.per_example), info)


def shard_table(file: Path) -> "pa.Table":
    """A shard of scores, with the metadata of its footer as those of the table."""
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    return table.replace_schema_metadata({"vidsemi": pq.read_metadata(file).metadata[b"vidsemi"]})


def paths_of(manifest: Path) -> list[str]:
    """The path column of a CSV manifest."""
    with open(manifest, newline="", encoding="utf-8") as file:
        return [row["path"] for row in csv.DictReader(file)]


def spec_for(model: str, classes: int, frames: int | None = None, **args: Any) -> "NetworkSpec":
    """The spec of a network with its default input."""
    from vidsemi.config import Input, Network
    from vidsemi.models.build import network_spec

    names = [f"class {number}" for number in range(classes)]
    return network_spec(Network(model=model, frames=frames, args=args), Input(), names)


def zeros_of(network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """A state dict of zeros on the CPU with the names and shapes of a network, which takes no memory."""
    import torch

    state = network.state_dict()
    return {key: torch.zeros((), dtype=value.dtype, device="cpu").expand(value.shape) for key, value in state.items()}


def shapes_target(shapes: Path, more: str = "protocols: [fc_only]") -> str:
    """A transfer target in YAML: the moving shapes themselves."""
    return f"{{name: shapes, train: {shapes}/labeled.csv, test: {shapes}/test.csv, views: 2, {more}}}"
