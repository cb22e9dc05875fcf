"""The benchmark of engines: its figures are those between shards, its ratios those of runs of one round."""

import json
from pathlib import Path

import pytest

from tools.bench import engines
from tools.bench.command import main as bench
from tools.bench.engines import BUCKET, DISK, NAMES, RAY

pytestmark = pytest.mark.slow


def test_ratios_are_those_of_runs_of_one_round():
    def run(speed: float, cpu: float) -> dict[str, float]:
        return {"videos_per_second": speed, "cpu_per_video": cpu, "first_shard_seconds": 4.0, "seconds": 60.0}

    runs = {
        DISK: [run(10, 0.1), run(5, 0.2), run(20, 0.05)],
        RAY: [run(9, 0.11), run(5, 0.2), run(10, 0.1)],
        BUCKET: [run(9, 0.1), {"failed": "failed: RuntimeError"}, run(20, 0.05)],
    }
    rows = [engines._row(name, runs) for name in NAMES]
    assert [row["relative_speed"] for row in rows] == [1.0, 0.9, pytest.approx(0.95)]
    assert [row["relative_CPU"] for row in rows] == pytest.approx([1.0, 1.1, 1.0])
    document = {"videos": 90, "shard_size": 3, "workers": 2, "rounds": 3, "cores": 2, "processor": "x"}
    table = engines.text({**document, "versions": {"ray": "2"}, "contenders": rows})
    assert "| Ray, disk       | 9.00" in table and "failed: RuntimeError" in table


@pytest.mark.usefixtures("warm_contenders")
def test_plain_processes_are_measured(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = [str(file) for file in sorted(shapes.rglob("*.mp4"))[:3]]
    words = [
        "engines",
        *files,
        "--videos",
        "30",
        "--shard-size",
        "3",
        "--workers",
        "1",
        "--rounds",
        "1",
        "--only",
        DISK,
    ]
    assert bench([*words, "--data", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["contenders"]
    assert row["failed"] is None and row["relative_speed"] == 1.0
    (run,) = row["all"]
    assert 0 < run["measured"] <= 21 and run["cpu_per_video"] > 0
    assert 0 < run["first_shard_seconds"] < run["seconds"]
    assert bench(["engines", *files, "--videos", "9", "--shard-size", "3", "--workers", "1"]) == 2
