"""JSON lines that a compiled loop parses are read as Python's `json` reads them, line by line."""

import gzip
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.formats import json_blocks, text_rows
from vidsemi.data.formats.json_blocks import JsonBlocks
from vidsemi.data.formats.json_kernels import Keys, Values, find_values
from vidsemi.data.formats.table import scan_table
from vidsemi.data.formats.text_rows import json_rows
from vidsemi.data.manifest_file import COLUMNS
from vidsemi.io.errors import UserError

KEYS = ("path", "id", "label", "hashtags", "start", "offset")
TYPES = {name: COLUMNS.get(name, pa.string()) for name in KEYS}
# Pieces of lines: what JSON is made of, and what is nearly JSON.
TEXTS = [
    *('"a.mp4"', '"#b #c"', '""', '"é"', r'"\u00e9"', r'"\u0000"', r'"\ud83d\ude00"', r'"\ud800"', r'"\udc00x"'),
    *(r'"\u0041"', r'"\/"', r'"\x"', '"Inf"', '"path"', '"2020-01-01"', '"x" "y"', '"{"', '"}{"', '"%23x"'),
    *('"At Sea! #x"', "'a'", '"\x85"', '"\ufeff"', '"\t"'),
]
NUMBERS = [
    *("7", "-0", "-0.0", "0", "1.5", "1e3", "1e400", "9007199254740993", "99999999999999999999", "01", "1.", ".5"),
    *("+1", "0.1", "5e-324", "1E5", "-", "0x1", "123456789.123456789e-3", "NaN", "Infinity", "-Infinity", "Inf"),
    *("nan", "true", "false", "null", "tru", "1" * 4301, "1" * 4300),
]
NESTED = ['{"a": 1}', '{"path": "b"}', "[[1]]", "[" * 2000 + "]" * 2000, "[1,]", "{}", '{"a": 1, "a": 2}', "[" * 600]
LISTS = [
    r'["\u00e9\n\ud83d\ude00", "\"]\\", ""]',
    r'["\ud83d", "x"]',
    r'[ "a" , "b" ]',
    '["a" "b"]',
    "[]",
    '["a"]',
    '["#a", "B"]',
    '["a", null]',
    '["a", 1]',
    '["caf\\u00e9", "caf%C3%A9"]',
    "[null]",
]
KEY = st.sampled_from(
    ['"path"', '"pa\\u0074h"', '"label"', '"hashtags"', '"start"', '"offset"', '"id"', '"x"', '"x y"']
)
VALUE = st.sampled_from([*TEXTS, *NUMBERS, *NESTED, *LISTS])
PLAIN = st.fixed_dictionaries(
    {"path": st.sampled_from(["a.mp4", "b/c.mp4", "é"])},
    optional={
        "hashtags": st.lists(st.sampled_from(["a", "#B", "c d"]), max_size=2) | st.sampled_from(["#a #b", "a"]),
        "label": st.sampled_from(["x", "", None]),
        "start": st.sampled_from([0, 1.5, None]),
        "x": st.none() | st.integers(),
    },
)
OBJECT = st.lists(st.tuples(KEY, VALUE), max_size=4).map(lambda pairs: ", ".join(f"{k}: {v}" for k, v in pairs))
LINE = (
    PLAIN.map(lambda row: json.dumps(row).encode())
    | PLAIN.map(lambda row: json.dumps(row, ensure_ascii=False).encode())
    | OBJECT.map(lambda text: f"{{{text}}}".encode())
    | st.sampled_from(
        [
            *(b" ", b"\r", b"\x1c{}", b" {}\t", b'{"path":\r"a"}', b'{"path": "a",\t"x": 1}', b'{"path": "a"}\x00'),
            *(b'{"label" : "b"}', b'{"label":null}', b'{"xlabel":null}', b'{"x":"\\"label\\":1"}', b'{"label"\r:null}'),
            *(b"\xff", b'{"path": "\xed\xa0\x80"}', b'{"path": "\xff"}', b'{"path": "a\x00"}', b"\xef\xbb\xbf{}"),
            *(b"", b"{}", b"{", b"}", b"[]", b"{}{}", b'{"x": {}', b"{}}", b'{"x": "\x01"}', '{"x": 1}\u00a0'.encode()),
        ]
    )
)
DAMAGED = st.builds(  # a line with another byte somewhere
    lambda line, place, byte: line[: place % len(line)] + byte + line[place % len(line) + 1 :],
    LINE.filter(len),
    st.integers(0, 1000),
    st.sampled_from([bytes([byte]) for byte in b'"\\{}[]:,0-.eutn /\x00\x1f\x7f\x80\xc3\xff\n\r\t ']),
)
FILE = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(LINE | DAMAGED, max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
).map(lambda parts: parts[0] + parts[2].join(parts[1]) + parts[2] * parts[3])


def compared(row: list[Any]) -> list[tuple[str, str]]:
    """The values with their types; a whole number of seconds is a float to Arrow, but for -0.0."""
    seconds = KEYS.index("start")
    start = row[seconds]
    if type(start) is int and abs(start) < 2**53:
        row = [*row[:seconds], float(start), *row[seconds + 1 :]]
    return [(type(value).__name__, repr(value)) for value in row]


def rows_of(blocks: JsonBlocks) -> tuple[dict[int, list[Any]], list[int], set[str]]:
    """Values by line, broken lines, and the keys among `KEYS`."""
    rows: dict[int, list[Any]] = {}
    broken, keys = [], set[str]()
    for read in blocks:
        found = read()
        nulls = pa.nulls(len(found.numbers))
        columns = [found.columns.get(name, nulls).to_pylist() for name in KEYS]
        assert not set(found.numbers) & rows.keys()
        rows |= {
            number: list(row) for number, row in zip(found.numbers.tolist(), zip(*columns, strict=True), strict=True)
        }
        rows |= {number: list(row) for number, row in found.others}
        broken += found.broken
        keys |= found.keys
    return rows, sorted(broken), keys & set(KEYS)


@given(content=FILE, size=st.sampled_from([1, 40, 1 << 20]))
@example(content=b'{"path": "a"}{"path": "b"}\n{"x": {}\n', size=1 << 20)
@example(content=b'{"path": null, "label": null}\n{"path": "a", "hashtags": "label"}', size=1 << 20)
@settings(max_examples=100, deadline=None)
def test_rows_are_those_of_single_lines(tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int):
    file = tmp_path_factory.getbasetemp() / "some.jsonl"
    file.write_bytes(content)
    broken: list[tuple[int, str]] = []
    wanted = dict(json_rows(file, broken))
    with patch.object(text_rows, "BLOCK", size):
        rows, own_broken, keys = rows_of(JsonBlocks(file, dict(zip(KEYS, KEYS, strict=True)), TYPES, "hashtags"))
    values = {number: [row.get(name) for name in KEYS] for number, row in wanted.items()}
    assert {number: compared(row) for number, row in rows.items()} == {
        number: compared(row) for number, row in values.items()
    }
    assert own_broken == [number for number, _ in broken]
    assert keys == {key for row in wanted.values() for key in row} & set(KEYS)


@given(content=FILE, label=st.sampled_from(["label", "x y", "é", "path"]))
@settings(max_examples=40, deadline=None)
def test_the_manifest_is_that_of_single_lines(tmp_path_factory: pytest.TempPathFactory, content: bytes, label: str):
    file = tmp_path_factory.getbasetemp() / "other.jsonl"
    file.write_bytes(content)

    def scanned() -> Any:
        try:
            return scan_table(file, None, label_column=label).collect()
        except UserError as error:
            return error.code, error.message

    def find_none(data: np.ndarray, keys: Keys, values: Values) -> int:
        find_values(data, keys, values)
        values.clean[:] = False
        return 0

    found = scanned()
    with patch.object(json_blocks, "find_values", find_none):
        wanted = scanned()
    assert found == wanted
    if not isinstance(found, tuple):
        assert found.lines == wanted.lines


def test_only_lines_that_are_not_clean_are_read_one_by_one(tmp_path: Path):
    lines = [b'{"path": "%d.mp4", "hashtags": ["caf\\u00e9", "b"], "other": {"x": [1, 2]}}' % n for n in range(5000)]
    lines[77], lines[3000], lines[4000] = b'{"path": ', b'{"path": "\xff"}', b'{"path": "x.mp4", "hashtags": "#a"}'
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines)))
    names = dict(zip(KEYS, KEYS, strict=True))
    singles = []
    for read in JsonBlocks(file, names, TYPES, "hashtags"):
        found = read()
        singles += [number for number, _ in found.others] + found.broken
    assert singles == [3001, 4001, 78]


def test_utf_16(tmp_path: Path):
    file = tmp_path / "some.jsonl"
    file.write_bytes('{"path": "é.mp4"}\n{\n{"path": "b.mp4", "hashtags": ["x"]}\n'.encode("utf-16"))
    scan = scan_table(file, None).collect()
    assert [Path(path).name for path in scan.columns["path"]] == ["é.mp4", "b.mp4"]
    assert scan.columns["hashtags"] == [None, "#x"] and [line for line, _ in scan.broken] == [2]


def test_the_message_about_a_missing_column_lists_all_keys(tmp_path: Path):
    file = tmp_path / "some.jsonl"
    file.write_text('{"file": "a.mp4", "x": 1}\n' * 10 + '{"y": 1}\n')
    with patch("vidsemi.data.formats.table_rows.FIRST", 1), pytest.raises(UserError) as error:
        scan_table(file, None).collect()
    assert error.value.code == "table.missing_column" and "file, x, y" in str(error.value)
