"""Features of a transfer: extracted in shards by one and two processes, resumed, read by splits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers import warm
from tests.helpers.builders import shapes_target
from vidsemi.cli import main as cli
from vidsemi.config.load import load_transfer_config
from vidsemi.data.manifest import load_manifest
from vidsemi.inference import features as features_module
from vidsemi.inference.features import read_features
from vidsemi.pipeline.run import transfer

WriteConfig = Callable[..., Path]
RECIPE = "{examples: 16, batch_size: 8, learning_rate: 0.01}"
JOB = """
import os, pathlib, sys
from vidsemi.cli import main as cli
from vidsemi.inference import features

features.SHARD_SIZE, write = 16, features.FeatureWorker.write

def noted(self, number, files):
    with (pathlib.Path(__file__).parent / f"made{os.environ['RANK']}").open("a") as made:
        print(*files, file=made)
    write(self, number, files)

if __name__ == "__main__":
    features.FeatureWorker.write = noted
    sys.exit(cli.main(sys.argv[1:]))
"""


def test_features_of_a_split_are_read_from_its_own_shards(
    weights: Path, shapes: Path, config_of: WriteConfig, monkeypatch: pytest.MonkeyPatch
):
    """Each split has training examples in shards of its own; both have the first test examples."""
    monkeypatch.setattr(features_module, "SHARD_SIZE", 8)
    splits = [("labeled", range(8)), ("test", range(8)), ("labeled", range(16, 24)), ("test", range(3, 11))]
    manifests, folder = [], config_of("").parent
    for number, (name, rows) in enumerate(splits):
        lines = (shapes / f"{name}.csv").read_text().splitlines()[1:]
        chosen = [f"{shapes}/{','.join(lines[row].split(',')[:2])}" for row in rows]
        (folder / f"{number}.csv").write_text("\n".join(["path,label", *chosen]))
        manifests.append(load_manifest(folder / f"{number}.csv"))
    runtime = load_transfer_config(str(config_of(shapes_target(shapes)))).runtime
    given = {"weights": weights, "manifests": manifests, "views": 2, "runtime": runtime, "title": "t"}
    (folder / "features").mkdir()
    metrics = features_module.extract_features(folder / "features", **given)
    assert metrics == {"examples": 27, "read": 27, "views": 2}
    tables = [pq.read_table(file).to_pylist() for file in sorted((folder / "features").glob("part-*"))]
    assert [len(table) for table in tables] == [8, 8, 8, 3]
    by_path = {row["path"]: row["features"] for table in tables for row in table}
    expected = [[by_path[manifest.row(number).path] for number in range(8)] for manifest in manifests]
    np.testing.assert_array_equal(read_features(folder / "features", manifests), np.float32(expected))
    (folder / "features" / "part-000000.parquet").unlink()
    found = read_features(folder / "features", manifests, slice(2, 4))
    np.testing.assert_array_equal(found, np.float32(expected[2:]))


@pytest.mark.slow
def test_killed_features_resume_with_the_next_shard(
    weights: Path, shapes: Path, config_of: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features_module, "SHARD_SIZE", 16)
    config = str(config_of(shapes_target(shapes)))
    straight = transfer(weights, load_transfer_config(config, [f"output={tmp_path}/straight"]))
    write, calls = features_module.FeatureWorker.write, []

    def dies(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(features_module.FeatureWorker, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        transfer(weights, load_transfer_config(config))
    folder = tmp_path / "moved/seed0/r2plus1d_10_4f/weights/transfer/shapes/fc_only/features"
    (first,) = folder.glob("part-*.parquet")
    time = first.stat().st_mtime_ns
    monkeypatch.setattr(features_module.FeatureWorker, "write", write)
    assert transfer(weights, load_transfer_config(config)) == straight
    assert first.stat().st_mtime_ns == time
    assert len(list(folder.glob("part-*.parquet"))) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_processes_transfer_as_one_does(
    weights: Path,
    shapes: Path,
    config_of: WriteConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(features_module, "SHARD_SIZE", 16)  # so that there is something to share
    (tmp_path / "job.py").write_text(JOB)
    more = f"full_ft: {RECIPE[:-1]}, micro_batches: 2}}"
    config = config_of(shapes_target(shapes, more))
    command = ["transfer", "--weights", str(weights), "--cfg", str(config), "--json"]
    assert cli.main([*command, f"output={tmp_path}/alone"]) == 0
    alone = json.loads(capsys.readouterr().out)
    result, other = warm.launch(2, tmp_path / "job.py", *command, f"output={tmp_path}/together", OMP_NUM_THREADS="1")
    assert result.returncode == other.returncode == 0, result.stderr + other.stderr
    assert other.stdout == ""
    together = json.loads(result.stdout)
    for one, other in zip(alone["results"], together["results"], strict=True):
        assert one.pop("weights") == other.pop("weights")
        assert one == other
    files = sorted(file.relative_to(tmp_path / "alone") for file in tmp_path.glob("alone/**/part-*.parquet"))
    assert len(files) == 3
    made = [file.read_text().split() for file in tmp_path.glob("made*")]
    assert sorted(name for one in made for name in one) == sorted(file.name for file in files)  # each by one of them
    for file in files:
        assert (tmp_path / "together" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
