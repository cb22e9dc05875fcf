"""Writes shards of scores: probabilities → the `per_example` (P) highest classes of each example → Parquet."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.files import atomic_path
from vidsemi.selection.score_format import KEY, ScoresInfo, label_type, shard_name


def top_classes(probabilities: np.ndarray, per_example: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each example's P highest-scoring classes; ties go to the smaller class index.

    Args:
        probabilities: (N, classes) float32.
        per_example: P; all classes if there are fewer.

    Returns:
        Labels and scores, both (N, P).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :per_example]
    return order, np.take_along_axis(probabilities, order, axis=1)


def write_shard(
    folder: Path, number: int, examples: np.ndarray, labels: np.ndarray, scores: np.ndarray, info: ScoresInfo
) -> None:
    """Write the scores of one shard atomically.

    Args:
        folder: directory of scores.
        number: of the shard.
        examples: (N,) example ids, ascending.
        labels: (N, P) from `top_classes`.
        scores: (N, P) float32, likewise.
        info: metadata that all shards share.
    """
    table = pa.table(
        {
            "example_id": pa.array(np.repeat(examples, labels.shape[1]), pa.int64()),
            "label": pa.array(labels.reshape(-1), label_type(len(info.classes))),
            "score": pa.array(scores.reshape(-1), pa.float32()),
        }
    ).replace_schema_metadata({KEY: json.dumps(asdict(info))})
    _write(folder / shard_name(number), table)


def write_failures(folder: Path, number: int, failures: Sequence[tuple[int, str, str]]) -> None:
    """Write the unreadable examples of a shard as (example id, path, error); an empty list writes an empty file."""
    examples, paths, errors = zip(*failures, strict=True) if failures else ((), (), ())
    table = pa.table(
        {
            "example_id": pa.array(examples, pa.int64()),
            "path": pa.array(paths, pa.string()),
            "error": pa.array(errors, pa.string()),
        }
    )
    _write(folder / "failures" / shard_name(number), table)


def _write(file: Path, table: pa.Table) -> None:
    with atomic_path(file) as temporary:
        pq.write_table(table, temporary, compression="zstd")
