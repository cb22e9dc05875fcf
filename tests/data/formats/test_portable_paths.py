"""Columns of paths are stored as each path alone is."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.formats.portable_paths import portable_column, portable_paths
from vidsemi.data.formats.table import scan_table

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


plain = st.lists(st.sampled_from(["a.mp4", "é", "v", "data", "...", ".v", "v."]), min_size=1, max_size=3).map("/".join)
odd = st.lists(st.sampled_from(["a", "..", ".", "", "v\\w", "s3:", "data"]), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("root", [None, "", "v", "data/..", "..", "../../w", "/", "/w"])
@settings(max_examples=15, deadline=None)
@given(st.lists(plain, min_size=1, max_size=4) | st.lists((plain | odd).filter(bool), min_size=1, max_size=4))
@example(["data/a.mp4", "v/a.mp4"])
def test_paths_of_tables_are_stored_as_each_path_is(
    tmp_path_factory: pytest.TempPathFactory, root: str | None, own: list[str]
):
    folder = tmp_path_factory.getbasetemp() / "data"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        pq.write_table(pa.table({"path": own}), "table.parquet")
        scan = scan_table(Path("table.parquet"), None if root is None else Path(root))
        start = "" if root is None else root
        located = [path if "://" in path else os.path.join(start, path) for path in own]
        stored = [path for table, _ in scan.stored_blocks(Path("m.csv")) for path in table["path"].to_pylist()]
        assert stored == portable_paths(located, Path("m.csv"))
        found = scan.collect().columns["path"]
        assert list(map(os.path.normpath, found)) == list(map(os.path.normpath, located))
