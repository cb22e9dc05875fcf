"""The benchmark of requests: each shard and each small video takes one, and bytes are those of the files."""

import json
from pathlib import Path

import pytest

from tools.bench.bucket_requests import SCORES
from tools.bench.command import main as bench

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_small_videos_and_shards_take_one_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(["requests", "--seconds", "1", "--data", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 3 * 3 + 2
    for row in rows[:-2]:
        if "trim" not in row["what"]:
            assert (row["GET"], row["read"], row["PUT"]) == (1, row["size"], 0)
    shards = sum(file.stat().st_size for file in (tmp_path / "requests" / "scores").iterdir())
    hard, soft = rows[-2:]
    assert (hard["GET"], hard["LIST"], hard["PUT"]) == (SCORES.shards + 1, 1, 1) and hard["read"] > shards
    assert soft["GET"] == 2 * SCORES.shards + 1  # the scores of what was selected are another pass
