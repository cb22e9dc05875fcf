"""The benchmark of manifests: all contenders write the rows of the table, and other rows are noticed."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tools.bench import manifest
from tools.bench.command import main as bench
from tools.bench.manifest_start import STARTS

pytestmark = pytest.mark.slow


def test_all_contenders_write_the_same_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    assert bench(["manifest", "--rows", "3000", "--rounds", "1", "--hashtags", "--data", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agree"] is True and document["rows"] == 3000
    assert [row["name"] for row in document["contenders"]] == list(manifest.CONTENDERS)
    for row in document["contenders"]:
        assert row["answer"] == "same"
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mib"] > 10
        assert row["rows_per_second"] == pytest.approx(3000 / row["seconds"])
    assert [row["name"] for row in document["starts"]] == list(STARTS)
    for row in document["starts"]:
        assert row["answer"] == "all"
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0
        assert 10 < row["private_mib"] < row["peak_mib"]
    assert "| pyarrow" in manifest.text(document) and "| scores" in manifest.text(document)
    file = tmp_path / "manifest_rows3000_hashtags" / "vidsemi.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    assert not manifest._is_copy(file, 3000)
