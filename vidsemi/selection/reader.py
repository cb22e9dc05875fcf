"""Score parts (contract 4.3) as streams of rows. What a row holds is checked where it is looked at, in `scan.py`."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.selection.score_files import ScoresInfo, label_type, not_a_part, parse_info, part_files
from vidsemi.selection.topk import Rows

COLUMNS = ["example_id", "label", "score"]
BATCH_ROWS = 1 << 17  # read at once; with 2^20 selecting is no faster and takes 50 MB more


@dataclass(frozen=True)
class Part:
    """A source of score rows.

    Attributes:
        name: what it is called in messages.
        number: of the shard that it holds; no two parts of a corpus have the same.
        batches: reads its rows anew, from the first.
        count: says how many rows there are, and reads none.
    """

    name: str
    number: int
    batches: Callable[[], Iterable[Rows]]
    count: Callable[[], int]


def numbered_files(folder: Path) -> dict[int, Path]:
    """The parts of a directory by the number of their shard, ascending.

    Raises:
        UserError: there are none, or one has no number of its own.
    """
    found = {}
    for file in part_files(folder):
        number = re.fullmatch(r"part-(\d{1,12})\.parquet", file.name)
        if number is None or int(number[1]) in found:
            raise UserError(f"{file}: a part is named part-NNNNNN.parquet, with the number of its shard")
        found[int(number[1])] = file
    return dict(sorted(found.items()))


def open_parts(files: dict[int, Path]) -> tuple[list[Part], ScoresInfo]:
    """Parts by number, at least one, and what they must all agree on. Rows are read later.

    Raises:
        UserError: the first is damaged or no score part.
    """
    first = next(iter(files.values()))
    try:
        footer = pq.read_metadata(first)
        info = parse_info(first, footer)
        _check_types(footer.schema.to_arrow_schema(), info)
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise not_a_part(first, error) from None
    return [
        Part(str(file), number, _reader(file, first, footer, info), partial(_count, file))
        for number, file in files.items()
    ], info


def _check_types(schema: pa.Schema, info: ScoresInfo) -> None:
    types = {"example_id": pa.int64(), "label": label_type(len(info.classes)), "score": pa.float32()}
    for name, expected in types.items():
        if schema.field(name).type != expected:
            raise TypeError(f"the column '{name}' must be {expected}")


def _reader(file: Path, first: Path, footer: pq.FileMetaData, info: ScoresInfo) -> Callable[[], Iterator[Rows]]:
    """A function that reads the rows of a part, which must look like those of the first one."""

    def batches() -> Iterator[Rows]:
        try:
            # A corpus may have 65,000 small parts. Equal metadata, where Arrow has written its schema into it, are the
            # fastest way to see that all is well.
            with pa.OSFile(str(file)) as stream, pq.ParquetFile(stream) as parquet:
                own = parquet.metadata.metadata or {}
                if own != footer.metadata or b"ARROW:schema" not in own:
                    if name := info.difference(parse_info(file, parquet.schema_arrow)):
                        raise UserError(f"{file} and {first.name} were not scored alike: their '{name}' differ")
                    _check_types(parquet.schema_arrow, info)
                for batch in parquet.iter_batches(BATCH_ROWS, columns=COLUMNS, use_threads=False):
                    yield _rows(batch)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise not_a_part(file, error) from None

    return batches


def _count(file: Path) -> int:
    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise not_a_part(file, error) from None


def _rows(batch: pa.RecordBatch) -> Rows:
    columns = {name: batch.column(name) for name in COLUMNS}
    for name, column in columns.items():
        if column.null_count:
            raise ValueError(f"the column '{name}' has nulls")
    return Rows(**{name: column.to_numpy() for name, column in columns.items()})
