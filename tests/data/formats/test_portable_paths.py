"""Columns of paths are stored as each path alone is."""

from pathlib import Path

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.formats.portable_paths import portable_column, portable_paths

FOLDER = "/data/é"
pieces = st.sampled_from(["a.mp4", "é", "..", ".", "", "v", "s3:", "//", "x y"])
starts = st.sampled_from(["", "/", FOLDER + "/", FOLDER, "/data/e/", "s3://", f"file://{FOLDER}/", "./", "../"])
paths = st.builds(lambda start, parts: start + "/".join(parts), starts, st.lists(pieces, min_size=1, max_size=4))


@settings(max_examples=60, deadline=None)
@given(st.lists(paths.filter(bool), min_size=1, max_size=6))
@example([f"{FOLDER}/a.mp4", f"{FOLDER}/v/b.mp4"])
@example([f"{FOLDER}/s3:///a.mp4"])
@example([f"{FOLDER}/a.mp4", "/a.mp4", "s3://b/a.mp4", "a.mp4"])
def test_columns_are_stored_as_each_path_is(own: list[str]):
    manifest = Path(FOLDER, "m.csv")
    assert portable_column(pa.array(own), manifest).to_pylist() == portable_paths(own, manifest)
