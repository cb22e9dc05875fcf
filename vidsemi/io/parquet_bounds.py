"""Refuse Parquet files that take far more memory than disk, before they are read.

A dictionary page holds each text once, and rows refer to it: 50 kB may stand for 100,000 texts of a megabyte. Manifests
and scores take 2 to 100 times their size in memory.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SMALL = 1 << 30  # bytes; less memory is never refused
RATIO = 1000  # bytes in memory per byte of the file
VALUE = 8  # bytes that a number, or the place of a text, takes
ROWS = 1 << 12  # rows at a time


def check_expansion(parquet: pq.ParquetFile, stream: pa.NativeFile) -> None:
    """Raise a `pa.ArrowInvalid` if the columns of an open file take too much memory; `stream` holds its bytes."""
    limit = max(SMALL, RATIO * stream.size())
    groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
    chunks = [
        (number, group.column(column)) for number, group in enumerate(groups) for column in range(group.num_columns)
    ]
    stored = sum(chunk.num_values * VALUE + chunk.total_uncompressed_size for _, chunk in chunks)
    _refuse_over(limit, stored, stream)
    texts = [(number, chunk) for number, chunk in chunks if chunk.physical_type == "BYTE_ARRAY"]
    if sum(chunk.num_values * chunk.total_uncompressed_size for _, chunk in texts) <= SMALL:
        return
    encoded = pq.ParquetFile(stream, read_dictionary=sorted({chunk.path_in_schema for _, chunk in texts}))
    most = sum(chunk.num_values * _longest(encoded, number, chunk.path_in_schema) for number, chunk in texts)
    if stored + most > limit:
        total = sum(_total(encoded, number, chunk.path_in_schema) for number, chunk in texts)
        _refuse_over(limit, stored + total, stream)


def _refuse_over(limit: int, size: int, stream: pa.NativeFile) -> None:
    if size > limit:
        raise pa.ArrowInvalid(
            f"it has {stream.size()} bytes and takes {size} in memory; more than {RATIO} times its size is refused"
        )


def _longest(encoded: pq.ParquetFile, group: int, column: str) -> int:
    """The most bytes of a text in the dictionary of a column, which comes whole with the first text."""
    for leaf in _leaves(encoded, group, column):
        if len(leaf.dictionary):
            return pc.max(pc.binary_length(leaf.dictionary)).as_py() or 0
    return 0


def _total(encoded: pq.ParquetFile, group: int, column: str) -> int:
    """The bytes of the texts of a column, each as often as it occurs."""
    lengths = (pc.binary_length(leaf.dictionary).take(leaf.indices) for leaf in _leaves(encoded, group, column))
    return sum(pc.sum(each.cast(pa.int64())).as_py() or 0 for each in lengths)


def _leaves(encoded: pq.ParquetFile, group: int, column: str) -> Iterator[pa.DictionaryArray]:
    """The texts of a column, some rows at a time."""
    for batch in encoded.iter_batches(ROWS, row_groups=[group], columns=[column]):
        yield from _texts(batch.column(0))


def _texts(values: pa.Array) -> Iterator[pa.DictionaryArray]:
    """The arrays of texts in an array, however deep."""
    if pa.types.is_dictionary(values.type):
        yield values
    elif pa.types.is_map(values.type):
        yield from _texts(values.keys)
        yield from _texts(values.items)
    elif pa.types.is_struct(values.type):
        for field in values.flatten():
            yield from _texts(field)
    elif pa.types.is_nested(values.type):  # lists of all kinds
        yield from _texts(values.flatten())
