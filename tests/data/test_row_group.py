"""Tables that are gathered piece by piece are those that pyarrow joins, in memory that is used again."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsemi.data import row_group
from vidsemi.data.row_group import RowGroup

SCHEMA = pa.schema([("path", pa.string()), ("start", pa.float64()), ("offset", pa.int64())])
row = st.fixed_dictionaries(
    {
        "path": st.one_of(st.none(), st.text(max_size=5)),
        "start": st.one_of(st.none(), st.floats(allow_nan=False)),
        "offset": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    }
)
tables = st.lists(st.tuples(st.lists(row, max_size=9), st.integers(0, 3)), max_size=6)


def gathered(group: RowGroup, pieces: list[pa.Table]) -> list[pa.Table]:
    """Copies of all groups of the rows, as the memory is used again."""
    found = []
    for piece in pieces:
        while len(piece := group.add(piece)):
            found.append(pa.Table.from_pylist(group.take().to_pylist(), SCHEMA))
    if len(group):
        found.append(pa.Table.from_pylist(group.take().to_pylist(), SCHEMA))
    return found


@settings(max_examples=100, deadline=None)
@given(tables, st.integers(1, 12), st.sampled_from([6, 40, 1 << 20]), st.sampled_from([1, 1 << 10]))
def test_the_groups_have_the_rows_of_all_pieces(
    pieces: list[tuple[list[dict[str, Any]], int]], size: int, most: int, room: int
):
    # a text has at most 5 letters of 4 bytes, and a piece with more than `most` bytes is in an array of its own
    parts = [pa.Table.from_pylist(rows, SCHEMA).slice(skipped) for rows, skipped in pieces]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_group, "MOST", most)
        patch.setattr(row_group, "TEXTS", room)
        found = gathered(RowGroup(SCHEMA, size), parts)
    rows = [own for part in parts for own in part.to_pylist()]
    assert [own for table in found for own in table.to_pylist()] == rows
    assert [len(table) for table in found] == [len(rows[first : first + size]) for first in range(0, len(rows), size)]


def test_a_group_is_written_as_the_joined_table():
    def written(table: pa.Table) -> bytes:
        stream = io.BytesIO()
        pq.write_table(table, stream)
        return stream.getvalue()

    numbers = range(5000)
    columns = [
        pa.array([None if number % 7 == 0 else f"v/{number}.mp4" for number in numbers]),
        pa.array([None if number % 3 else number / 2 for number in numbers], pa.float64()),
        pa.array(numbers, pa.int64()),
    ]
    table, group = pa.Table.from_arrays(columns, schema=SCHEMA), RowGroup(SCHEMA, 5000)
    for first in range(0, 5000, 700):
        assert not len(group.add(table.slice(first, 700)))
    assert written(group.take()) == written(table)
