"""A manifest of tars: every tar's headers are read once, in processes; no video is opened."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from vidsemi.data.formats.readers import portable_paths
from vidsemi.data.formats.tar import COLUMN_NAMES, index_tar
from vidsemi.data.manifest import COLUMNS, Row, write_tables
from vidsemi.data.worker_pool import read_all
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.progress import progress_bar

SCHEMA = pa.schema([(name, COLUMNS[name]) for name in COLUMN_NAMES])


@dataclass
class Summary:
    """What tars came to.

    Attributes:
        tars: how many there are.
        examples: videos and images in them.
        left_out: images beside a video of the same sample, links, sparse files.
        damaged: the tars that cannot be read, or not to their end, and why.
    """

    tars: int = 0
    examples: int = 0
    left_out: int = 0
    damaged: list[str] = field(default_factory=list)


def index_stage(tars: list[Path], manifest: Path, *, workers: int, seconds: float) -> Summary:
    """Write the manifest of tars.

    Args:
        tars: uncompressed tars.
        manifest: to write, .csv or .parquet.
        workers: processes that read.
        seconds: limit for a tar.

    Returns:
        What was found, and what was not.

    Raises:
        UserError: there is not one video or image in them.
    """
    summary = Summary(tars=len(tars))
    write_tables(manifest, SCHEMA, _tables(tars, manifest, summary, workers, seconds))
    return summary


def _tables(tars: list[Path], manifest: Path, summary: Summary, workers: int, seconds: float) -> Iterator[pa.Table]:
    rows = [Row(number, str(tar)) for number, tar in enumerate(tars)]
    with (
        closing(read_all(index_tar, rows, workers=min(workers, len(tars)), seconds=seconds)) as indexes,
        progress_bar(len(tars), "tar", "index") as bar,
    ):
        for tar, index in zip(tars, indexes, strict=True):
            bar.update()
            error = index.reason if isinstance(index, DecodeError) else index.error
            if error is not None:
                summary.damaged.append(f"{tar}: {' '.join(error.split())}")
            if isinstance(index, DecodeError):
                continue
            summary.examples += len(index.columns["member"])
            summary.left_out += index.left_out
            yield pa.table({**index.columns, "path": portable_paths(index.columns["path"], manifest)}, SCHEMA)
    if not summary.examples:
        why = f": {summary.damaged[0]}" if summary.damaged else ""
        raise UserError(f"there is not one video or image in {len(tars)} tars{why}")
