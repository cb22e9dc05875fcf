"""The steps from a table of tags to a selection, on a small table."""

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tools.bench.command import main as bench
from vidsemi.data.dedup.hash_job import manifest_id
from vidsemi.data.manifest import load_manifest
from vidsemi.selection.result import Selection

pytestmark = pytest.mark.slow


def test_from_tags_to_a_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--rows", "20001", "--per-class", "20", "--shard-size", "7000", "--data", str(tmp_path)]
    assert bench(["scale", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {step["step"]: step["rows"] for step in document["steps"]}
    made = tmp_path / "scale_rows20001"
    table = pyarrow.csv.read_csv(made / "tags.csv")
    assert rows["make the table of tags"] == rows["manifest table"] == table.num_rows == 20_001
    first = [tags.split()[0].strip("#_").lower() for tags in table.column("hashtags").to_pylist()]
    frequent = [n for tag, n in Counter(first).items() if n >= 50 and not re.fullmatch(r"tag\d+", tag)]
    with_class = sum(frequent)
    assert rows["manifest table --vocabulary"] == with_class
    assert rows["hashtags"] == len(frequent) > 50
    assert rows["make the scores of U"] == 4 * with_class
    selection = Selection.read(made / "selection.parquet")
    assert rows["select"] == len(selection.example_id)
    assert selection.example_id.max() < with_class
    assert len(list((made / "scores").glob("part-*.parquet"))) == -(-with_class // 7000)
    assert pq.read_metadata(made / "unlabeled.parquet").num_rows == with_class
    assert rows["make the hashes"] == 20_001 + 10_000
    assert rows["manifest table --exclude-duplicates-of"] == 20_001 - 20
    found = document["steps"][-1]["answer"]["duplicates"]
    assert (found["removed"], found["unread"], found["checked"][0]["exact"]) == (20, 0, 20)
    named = {file.name.split("-")[1] for file in (made / "hashes").glob("part-*")}
    assert named == {manifest_id(load_manifest(made / name)) for name in ("clean.all.parquet", "tests.parquet")}
    assert all(step["seconds"] > 0 and step["bytes"] > 0 for step in document["steps"])


def test_a_failed_step_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(["scale", "--rows", "10", "--data", str(tmp_path)]) == 2
    assert "[bench.step_failed]" in capsys.readouterr().err
