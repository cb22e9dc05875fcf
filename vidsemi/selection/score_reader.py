"""Reads a directory of scores: which shards it has, and each shard as a stream of rows.

The reader checks files and columns; `scan` checks the rows themselves, in the pass that selects from them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.io.files import is_regular
from vidsemi.io.parquet import DamagedError, open_parquet, own_metadata, read_parquet
from vidsemi.io.store import Place, read_many
from vidsemi.selection.score_format import (
    SCORE_AGAIN,
    ScoreRows,
    ScoresInfo,
    invalid_shard,
    label_type,
    parse_info,
)

COLUMNS = ["example_id", "label", "score"]
BATCH_ROWS = 1 << 17  # rows per batch; with 2^20 selecting is no faster and takes 50 MB more


@dataclass(frozen=True)
class ScoreShard:
    """A source of score rows."""

    name: str  # for messages
    number: int  # unique in its directory
    batches: Callable[[], Iterable[ScoreRows]]  # reads the rows from the first on; can be called again
    count: Callable[[], int]  # returns the number of rows without reading them
    file: Path | None = None  # if it is one on this machine's disks, which other processes can read too


def shard_files(folder: Place) -> dict[int, Place]:
    """Return the files of a directory of scores, at least one, by shard number, ascending."""
    files: dict[int, Place] = {}
    for file in sorted(_parts(folder), key=str):  # of 65,000 paths in half the time that comparing them takes
        number = re.fullmatch(r"part-(\d{1,12})\.parquet", file.name)
        if number is None or int(number[1]) in files:
            raise UserError(
                "scores.invalid_file_name", f"{file} must be named part-NNNNNN.parquet, with its own number"
            )
        if isinstance(file, Path) and not is_regular(file):  # a pipe would never answer
            raise invalid_shard(file, OSError("not a regular file"))
        files[int(number[1])] = file
    if not files:
        raise UserError("scores.missing", f"{folder} has no scores: it holds no part-NNNNNN.parquet")
    return dict(sorted(files.items()))


def _parts(folder: Place) -> list[Any]:
    return list(folder.glob("part-*.parquet"))  # all paths, or all addresses


def open_shards(files: Mapping[int, Place]) -> tuple[list[ScoreShard], ScoresInfo]:
    """Open shards by number, at least one. Rows are read later, and must have the returned metadata of the first."""
    first = next(iter(files.values()))
    try:
        with open_parquet(first) as parquet:
            schema, footer = parquet.schema_arrow, parquet.metadata
        info, metadata = parse_info(first, footer), own_metadata(footer.metadata)
        _check_types(schema, info)
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise invalid_shard(first, error) from None
    shards = [
        ScoreShard(
            str(file),
            number,
            partial(_batches, file, first, metadata, info),
            partial(_count, file),
            file if isinstance(file, Path) else None,
        )
        for number, file in files.items()
    ]
    return shards, info


def _check_types(schema: pa.Schema, info: ScoresInfo) -> None:
    types = {"example_id": pa.int64(), "label": label_type(len(info.classes)), "score": pa.float32()}
    for name, expected in types.items():
        if schema.field(name).type != expected:
            raise TypeError(f"the column '{name}' must be {expected}")


def _batches(file: Place, first: Place, metadata: dict[bytes, bytes], info: ScoresInfo) -> Iterator[ScoreRows]:
    """Read a shard whose metadata must match that of the first one."""
    try:
        # A dataset may have 65,000 small shards. Comparing the raw metadata, which holds the Arrow schema too, is the
        # fastest way to see that a shard is like the first.
        with open_parquet(file) as parquet:
            own, left = own_metadata(parquet.metadata.metadata), parquet.metadata.num_rows
            if own != metadata or b"ARROW:schema" not in own:
                if name := info.difference(parse_info(file, parquet.metadata)):
                    raise UserError(
                        "scores.mismatch", f"{file} and {first.name} were not scored alike: their '{name}' differ"
                    )
                _check_types(parquet.schema_arrow, info)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=COLUMNS, use_threads=False):
                left -= batch.num_rows
                yield _rows(batch)
            if left:
                raise DamagedError("its number of rows is not what its footer says")
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise invalid_shard(file, error) from None


def _count(file: Place) -> int:
    try:
        source = file if isinstance(file, Path) else pa.BufferReader(file.read_bytes())
        return int(pq.read_metadata(source).num_rows)  # the pass that reads the rows checks it
    except (pa.ArrowException, OSError) as error:
        raise invalid_shard(file, error) from None


def _rows(batch: pa.RecordBatch) -> ScoreRows:
    columns = {name: batch.column(name) for name in COLUMNS}
    for name, column in columns.items():
        if column.null_count:
            raise ValueError(f"the column '{name}' has nulls")
    return ScoreRows(**{name: np.from_dlpack(column) for name, column in columns.items()})


def read_info(file: Place) -> ScoresInfo:
    """Read the metadata of a shard, not its rows."""
    try:
        with open_parquet(file) as parquet:
            return parse_info(file, parquet.metadata)
    except (pa.ArrowException, OSError) as error:
        raise invalid_shard(file, error) from None


def count_failures(folder: Place) -> int:
    """Count the unreadable examples of a directory of scores."""
    return len(read_failures(folder))


def read_failures(folder: Place) -> np.ndarray:
    """Read the ids of the unreadable examples of a directory of scores, ascending int64."""
    files = sorted(_parts(folder / "failures"))
    ids = read_many(_failed, files, remote=not isinstance(folder, Path))
    return np.sort(np.concatenate([np.zeros(0, np.int64), *ids]))


def _failed(file: Place) -> np.ndarray:
    try:
        column = read_parquet(file, ["example_id"]).column("example_id")
        if column.type != pa.int64() or column.null_count:
            raise TypeError("the column 'example_id' must be int64 without nulls")
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise UserError(
            "scores.invalid_failures", f"{file} is not a list of failures: {error}; {SCORE_AGAIN}"
        ) from None
    return np.asarray(column.to_numpy())
