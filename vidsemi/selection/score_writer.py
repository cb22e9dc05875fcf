"""Writes shards of scores: probabilities → the `per_example` (P) highest classes of each example → Parquet."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.io.parquet import parquet_bytes, write_parquet
from vidsemi.io.store import shard_name
from vidsemi.selection.score_format import KEY, ScoresInfo, label_type

# Ids as differences, scores byte by byte, which puts their exponents together. With zstd files are 2% smaller, but take
# twice as long to decode: a shard of 1,000 examples 144 µs instead of 59, of a million 12.8 ns a row instead of 7.3.
# Columns that may not be null make these 51 µs and 4.7 ns.
ENCODING: dict[str, Any] = {
    "compression": "lz4",
    "use_dictionary": ["label"],
    "column_encoding": {"example_id": "DELTA_BINARY_PACKED", "score": "BYTE_STREAM_SPLIT"},
}


def top_classes(
    probabilities: np.ndarray, per_example: int, known: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores, both (N, P), of each example's P highest-scoring classes out of (N, classes).

    Ties go to the smaller class index. There are fewer than P columns if there are fewer classes. `known` are the only
    classes that may be among them, as ascending indices.
    """
    if known is not None:
        labels, scores = top_classes(probabilities[:, known], per_example)
        return np.asarray(known)[labels], scores
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :per_example]
    return order, np.take_along_axis(probabilities, order, axis=1)


def shard_bytes(examples: np.ndarray, labels: np.ndarray, scores: np.ndarray, info: ScoresInfo) -> bytes:
    """Return the file of a shard: ascending example ids (N,), and labels and scores (N, P) from `top_classes`."""
    return parquet_bytes(_table(examples, labels, scores, info), _footer(info), **ENCODING)


def failure_table(failures: Sequence[tuple[int, str, str]]) -> pa.Table:
    """Return the unreadable examples of a shard, given as (example id, path, error), as they are written."""
    columns = zip(*failures, strict=True) if failures else ((), (), ())
    schema = pa.schema([("example_id", pa.int64()), ("path", pa.string()), ("error", pa.string())])
    return pa.table([*columns], schema=schema)


def write_shard(
    folder: Path, number: int, examples: np.ndarray, labels: np.ndarray, scores: np.ndarray, info: ScoresInfo
) -> None:
    """Write one shard atomically; the arguments are those of `shard_bytes`."""
    write_parquet(folder / shard_name(number), _table(examples, labels, scores, info), _footer(info), **ENCODING)


def write_failures(folder: Path, number: int, failures: Sequence[tuple[int, str, str]]) -> None:
    """Write the unreadable examples of a shard as (example id, path, error); an empty list writes an empty file."""
    write_parquet(folder / "failures" / shard_name(number), failure_table(failures))


def _table(examples: np.ndarray, labels: np.ndarray, scores: np.ndarray, info: ScoresInfo) -> pa.Table:
    types = {"example_id": pa.int64(), "label": label_type(len(info.classes)), "score": pa.float32()}
    schema = pa.schema([pa.field(name, of, nullable=False) for name, of in types.items()])
    columns = (np.repeat(examples, labels.shape[1]), labels.reshape(-1), scores.reshape(-1))
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)


def _footer(info: ScoresInfo) -> dict[bytes, bytes]:
    """In the schema it would stand twice: of 1,000 examples and 400 classes, 11 kB of 43."""
    return {KEY.encode(): json.dumps(asdict(info)).encode()}
