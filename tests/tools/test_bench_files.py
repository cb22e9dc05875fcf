"""The benchmark of finding files: both formats list all that are made up, in less memory than their paths."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tools.bench.command import main as bench
from tools.bench.files import CONTENDERS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["folder", "files"])
def test_manifests_have_all_files(tmp_path: Path, name: str):
    CONTENDERS[name](name, 2500, tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    paths = table["path"].to_pylist()
    assert len(set(paths)) == 2500 and paths == sorted(paths)
    assert ("label" in table.column_names) == (name == "folder")


def test_the_table_has_every_contender(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(["files", "--rows", "2e4", "--rounds", "1", "--data", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["contenders"]
    assert [row["name"] for row in rows] == list(CONTENDERS)
    assert all(row["failed"] is None and row["seconds"] > 0 for row in rows)
