"""CSV files read in blocks have the rows, line numbers and broken lines that they have line by line."""

from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.formats import text_rows
from vidsemi.data.formats.csv_blocks import CsvBlocks
from vidsemi.data.formats.text_rows import Broken, ResyncedRows, stream_lines


def rows_of(file: Path, broken: Broken, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """The rows of a CSV file with their line numbers, the header first."""
    table = CsvBlocks(file, delimiter, broken)
    table.places = tuple(range(len(table.header)))
    rows = [(0, table.header)]
    for block in table:
        columns = [values.to_pylist() for values in block.parse().values()]
        clean = zip(block.numbers.tolist(), map(list, zip(*columns, strict=True)), strict=True) if columns else ()
        rows += sorted([*clean, *block.others])
    return [(1, rows[0][1]), *rows[1:]]


PIECES = [
    "a",
    "b.mp4",
    "é",
    "釣",
    ",",
    ",",
    ",",
    '"',
    '""',
    '"a,b"',
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\ufeff",
    "#x #y",
    " ",
    "\udcff",
]
contents = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(contents, st.sampled_from(["", "p,t\n", "p\n", "\ufeffp,t\r\n"]), st.integers(1, 40))
@example('1,"a\n2,b\n3,c\n', "p,t\n", 8)
@example('1,a\n2,"b\nc"\n3,d\n', "p,t\n", 4)
@example("1,a\n\ufeff2,b\n3,c\n", "p,t\n", 4)
@example("\n\ufeff", "p\n", 2)
@example("1,a\r2,b\r\n3,c\n", "p,t\n", 100)
def test_blocks_of_any_size_hold_the_rows_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, content: str, header: str, size: int
):
    file = tmp_path_factory.mktemp("t") / "t.csv"
    file.write_bytes((header + content).encode("utf-8", "surrogateescape"))
    slow_broken: Broken = []
    slow, expected = ResyncedRows(stream_lines(file, newline=""), ",", slow_broken), []
    while (row := slow.next_row()) is not None:
        expected.append((slow.first, row))
    broken: Broken = []
    with mock.patch.object(text_rows, "BLOCK", size):
        found = rows_of(file, broken)
    if expected:
        assert found[0][1] == expected[0][1]
        assert found[1:] == expected[1:]
    else:
        assert found == [(1, [])]
    assert sorted(broken) == sorted(slow_broken)
