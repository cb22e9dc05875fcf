"""The rows of manifests in record batches: in memory, mapped from a file, or those of several manifests."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa


class Batches(ABC):
    """Rows in record batches, of which each can be read alone."""

    def __init__(self, schema: pa.Schema, sizes: Sequence[int]):
        self.schema = schema
        self.starts = [0, *accumulate(sizes)]  # the first row of each batch, and the number of all rows

    @abstractmethod
    def get(self, number: int) -> pa.RecordBatch:
        """One batch."""

    def __len__(self) -> int:
        return self.starts[-1]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return map(self.get, range(len(self.starts) - 1))

    def locate(self, row: int) -> tuple[int, int]:
        """Find a row: the number of its batch, and its place there; raises an IndexError for one beyond the last."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        number = bisect_right(self.starts, row) - 1
        return number, row - self.starts[number]

    def take(self, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Some rows, (N,) int64, in their order."""
        order, starts = np.argsort(rows, kind="stable"), np.array(self.starts)
        pieces = np.split(rows[order], np.searchsorted(rows[order], starts[1:-1]))
        # not `table.take`, which may copy all strings of a column into one array, of 2 GB at most
        taken = [
            self.get(number).select([*columns]).take(pa.array(own - starts[number]))
            for number, own in enumerate(pieces)
            if len(own)
        ]
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(taken, schema).take(pa.array(np.argsort(order)))

    def slice(self, rows: range) -> pa.Table:
        """Some consecutive rows."""
        first, last = bisect_right(self.starts, rows.start) - 1, bisect_right(self.starts, rows.stop - 1)
        batches = [self.get(number) for number in range(first, last)] if len(rows) else []
        return pa.Table.from_batches(batches, self.schema).slice(
            rows.start - self.starts[first] if len(rows) else 0, len(rows)
        )


class TableBatches(Batches):
    """A table in memory."""

    def __init__(self, table: pa.Table):
        self._table = table
        self._batches = [batch for batch in table.to_batches() if batch.num_rows]
        super().__init__(table.schema, [batch.num_rows for batch in self._batches])

    def __reduce__(self) -> Any:
        return TableBatches, (self._table,)  # its batches may be views of the same memory

    def get(self, number: int) -> pa.RecordBatch:
        """One batch."""
        return self._batches[number]


class JoinedBatches(Batches):
    """The rows of several, one after the other; a column that one of them lacks is null there."""

    def __init__(self, parts: Sequence[Batches]):
        self._parts = parts
        self._firsts = [0, *accumulate(len(part.starts) - 1 for part in parts)]  # batch of each part
        sizes = [stop - start for part in parts for start, stop in zip(part.starts, part.starts[1:], strict=False)]
        super().__init__(pa.unify_schemas([part.schema for part in parts]), sizes)

    def get(self, number: int) -> pa.RecordBatch:
        """One batch."""
        part = bisect_right(self._firsts, number) - 1
        batch = self._parts[part].get(number - self._firsts[part])
        columns = [
            batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def in_groups(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of this size, but for the last one."""
    pending: list[pa.Table] = []
    rows = 0
    for table in tables:
        while rows + len(table) >= size:
            group = pa.concat_tables([*pending, table.slice(0, size - rows)]).combine_chunks()
            table = table.slice(size - rows)
            pending, rows = [], 0
            yield group
            del group
        if len(table):
            pending.append(table)
            rows += len(table)
    if pending:
        yield pa.concat_tables(pending).combine_chunks()
