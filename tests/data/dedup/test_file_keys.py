"""Keys of examples, which decide whether hashes of a file are known."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.dedup import file_keys
from vidsemi.data.dedup.frame_hashes import METHOD
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.data.read import is_image

PIECE = st.sampled_from(
    ["a", "b.jpg", ".JPG", "..", ".", "/", "//", ":", "://", '"', "\\", "é", " ", "~", "c.mp4", "\x7f"]
)
TEXT = st.lists(PIECE, min_size=1, max_size=5).map("".join)
SECONDS = st.none() | st.floats(0, 1e6)
COUNT = st.none() | st.integers(0, 2**62)
ROW = st.tuples(TEXT, st.none() | TEXT, COUNT, COUNT, SECONDS, SECONDS, st.none() | st.just(25.0))
COLUMNS = ("path", "member", "offset", "size", "start", "end", "frames_per_second")


def wanted_key(row: Any) -> bytes:
    """What the key of an example is a hash of, by the words of the format."""
    path = row.path if "://" in row.path else os.path.abspath(row.path)
    try:
        state = os.stat(path)
        when = [state.st_size, state.st_mtime_ns]
    except (OSError, ValueError):
        when = [0, 0]
    what = [METHOD, path, row.member, row.offset, row.size, row.start, row.end, *when]
    what += [row.frames_per_second] if row.is_frame_folder else []
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=16).digest()


@given(
    rows=st.lists(ROW, min_size=1, max_size=6),
    names=st.sets(st.sampled_from(COLUMNS[1:])),
    root=st.sampled_from(["", "é", "r"]),
)
@example(
    rows=[("a/b.jpg", None, None, None, None, None, None), ("a", None, None, None, None, None, 25.0)],
    names=set(COLUMNS[1:]),
    root="",
)
@settings(max_examples=25, deadline=None)
def test_keys_are_those_of_single_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], names: set[str], root: str
):
    folder = tmp_path_factory.getbasetemp() / "keys"
    (folder / root / "a").mkdir(parents=True, exist_ok=True)
    (folder / root / "a" / "b.jpg").write_bytes(b"123")
    columns = zip(COLUMNS, zip(*rows, strict=True), strict=True)
    file = folder / "some.parquet"
    write_manifest(file, {name: list(values) for name, values in columns if name in names | {"path"}})
    manifest = load_manifest(file, folder / root)
    with patch.object(file_keys, "ROWS", 4):
        keys, images = file_keys.file_keys(manifest, range(len(rows) // 2, len(rows)))
    singles = [manifest.row(number) for number in range(len(rows) // 2, len(rows))]
    assert [key.tobytes() for key in keys] == [wanted_key(row) for row in singles]
    assert images.tolist() == [is_image(row) for row in singles]


def test_most_rows_need_no_rule(tmp_path: Path):
    file = tmp_path / "some.parquet"
    write_manifest(file, {"path": ["v/1 2.mp4", "/abs/2.jpg", "w/../3.mp4"], "start": [None, 1.5, None]})
    manifest = load_manifest(file)
    with patch.object(file_keys, "_key", wraps=file_keys._key) as single:
        file_keys.file_keys(manifest, range(3))
    assert [call.args[0].example_id for call in single.call_args_list] == [2]
