"""What a directory of scores has: which shards are done, and whether every example is in exactly one of two files."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.selection.score_format import shard_name
from vidsemi.selection.score_reader import shard_numbers


def done_numbers(folder: Path) -> set[int]:
    """The shards that have both their part and their failures."""
    return shard_numbers(folder) & shard_numbers(folder / "failures")


def is_done(folder: Path, number: int) -> bool:
    """Whether one shard has."""
    return (folder / shard_name(number)).exists() and (folder / "failures" / shard_name(number)).exists()


def count_examples(folder: Path, number: int, per_example: int) -> tuple[int, int] | None:
    """Examples scored and failed of a shard, by the footers of its two files; None if one is damaged or not there."""
    try:
        rows = pq.read_metadata(folder / shard_name(number)).num_rows
        failed = pq.read_metadata(folder / "failures" / shard_name(number)).num_rows
    except (pa.ArrowException, OSError):
        return None
    return None if rows % per_example else (rows // per_example, failed)


def scored_example(folder: Path, numbers: Iterable[int]) -> int | None:
    """An example that some worker could read; None if there is none in these parts."""
    for number in numbers:
        try:
            column = pq.read_table(folder / shard_name(number), columns=["example_id"]).column(0)
        except (pa.ArrowException, OSError):
            continue
        if len(column):
            return column[0].as_py()
    return None
