"""The rows of many small tables in one large one, each column in one piece, as Parquet's writer gets them.

They are copied as they come, into memory that is used again for the next large table. Small tables that wait to be
joined take twice the memory while they are, and leave holes in the heap of Arrow of the same size.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from vidsemi.data.hashtags.distinct import text_bytes

TEXTS = 1 << 26  # bytes of texts that there is room for; what is not used takes no memory
MOST = (1 << 31) - 1  # of them in one array


class RowGroup:
    """The next rows of a file, with room for `size`; columns are texts, or numbers."""

    def __init__(self, schema: pa.Schema, size: int):
        self._schema, self._size, self._rows = schema, size, 0
        self._columns = [(_Texts if pa.types.is_string(kind) else _Numbers)(kind, size) for kind in schema.types]

    def __len__(self) -> int:
        return self._rows

    def add(self, table: pa.Table) -> pa.Table:
        """Copy as many rows as there is room for; returns the others."""
        own = table.slice(0, self._size - self._rows)
        for column, values in zip(self._columns, own.columns, strict=True):
            column.add(values.chunks)
        self._rows += len(own)
        return table.slice(len(own))

    def take(self) -> pa.Table:
        """The rows, valid until others are added, for which there is room now."""
        self._rows = 0
        return pa.Table.from_arrays([column.take() for column in self._columns], schema=self._schema)


class _Numbers:
    """A column of values of one size."""

    def __init__(self, kind: pa.DataType, size: int):
        self._kind, self._rows, self._full = kind, 0, list[pa.Array]()
        self._valid, self._values = np.empty(size, bool), np.empty(size, kind.to_pandas_dtype())

    def add(self, pieces: Iterable[pa.Array]) -> None:
        for piece in pieces:
            self._copy(piece)
            self._valid[self._rows : self._rows + len(piece)] = piece.is_valid().to_numpy(zero_copy_only=False)
            self._rows += len(piece)

    def take(self) -> pa.ChunkedArray:
        taken = pa.chunked_array([*self._full, self._array()])
        self._rows, self._full = 0, []
        return taken

    def _copy(self, piece: pa.Array) -> None:
        dtype = self._values.dtype
        values = np.frombuffer(piece.buffers()[1], dtype, len(piece), piece.offset * dtype.itemsize)
        self._values[self._rows : self._rows + len(piece)] = values

    def _array(self, *data: np.ndarray) -> pa.Array:
        valid = self._valid[: self._rows]
        bits = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(self._kind, self._rows, [bits, *map(pa.py_buffer, (self._values, *data))])


class _Texts(_Numbers):
    """A column of texts; more than 2 GB are several arrays."""

    def __init__(self, kind: pa.DataType, size: int):
        super().__init__(pa.int32(), size + 1)  # where texts begin, and the last ends
        self._kind, self._data = kind, np.empty(TEXTS, np.uint8)
        self._values[0] = 0

    def _copy(self, piece: pa.Array) -> None:
        data, ends = text_bytes(piece)
        used, more = int(self._values[self._rows]), int(ends[-1] - ends[0])
        if used + more > MOST:
            self._full.append(self._array())
            self._valid, self._values, self._rows = np.empty_like(self._valid), np.zeros_like(self._values), 0
            self._data, used = np.empty(0, np.uint8), 0
        if used + more > len(self._data):
            self._data, old = np.empty(used + max(more, used // 2), np.uint8), self._data
            self._data[:used] = old[:used]
        self._data[used : used + more] = data[ends[0] : ends[-1]]
        self._values[self._rows + 1 : self._rows + 1 + len(piece)] = ends[1:] - ends[0] + used

    def _array(self, *data: np.ndarray) -> pa.Array:
        return super()._array(self._data)
