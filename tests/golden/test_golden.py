"""Files of earlier releases load, and hold what they held."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden import make
from vidsemi.cli import main as cli
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest
from vidsemi.models.weights_file import load_weights
from vidsemi.selection.result import Selection, read_selection_info


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def holds(folder: Path) -> dict[str, Any]:
    return make.read(folder)


def test_they_are_small():
    assert make.FILE.stat().st_size < 100_000


def test_weights(folder: Path, holds: dict[str, Any]):
    network, spec = load_weights(folder / "weights.pt")
    assert (spec.model, spec.args, spec.classes) == ("r2plus1d_10", {"width": 0.015625}, make.CLASSES)
    assert spec.input == InputSpec(2, 3, (20, 24), 16, (0.5, 0.25, 0.125), (0.25, 0.5, 0.25))
    state = network.state_dict()
    assert len(state) == 128
    for name, tensor in state.items():
        assert torch.equal(tensor, make.values(name, tensor)), name
    with torch.no_grad():
        logits = network.eval()(make.clips())
    torch.testing.assert_close(logits, torch.tensor(holds["logits"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_manifests(folder: Path, holds: dict[str, Any], name: str):
    manifest = Manifest.read(folder / name)
    table = manifest.table.to_pydict()
    assert list(table) == list(make.MANIFEST)
    for column, expected in make.MANIFEST.items():
        empty = [value if value != "" or name.endswith(".parquet") else None for value in expected]  # CSV has no ""
        assert [value or None for value in table[column]] == [value or None for value in empty]
    assert manifest.fingerprint == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert manifest.row(1).path == str(folder / "a/ü, 1.png") and manifest.row(4).path == "https://host/4.png"


def test_a_selection(folder: Path, holds: dict[str, Any]):
    selection = Selection.read(folder / "selection.parquet")
    for name in ("label", "rank", "example_id", "score"):
        assert getattr(selection, name).tolist() == [row[name] for row in holds["selection"]]
    info = selection.info
    assert (info.policy, info.per_class, info.per_example, info.scores.classes) == (
        "balanced_ranked",
        3,
        2,
        make.CLASSES,
    )
    assert info.scores.manifest == hashlib.sha256((folder / "unlabeled.csv").read_bytes()).hexdigest()
    assert info.scores.weights == hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()


def test_scores_are_selected_from_as_before(folder: Path, holds: dict[str, Any]):
    words = ["--per-class", "3", "--per-example", "2", "--output", str(folder / "again.parquet")]
    assert cli.main(["select", "--scores", str(folder / "scores"), *words]) == 0
    again, before = (Selection.read(folder / name) for name in ("again.parquet", "selection.parquet"))
    assert again.info == before.info
    for name in ("label", "rank", "example_id", "score"):
        assert np.array_equal(getattr(again, name), getattr(before, name))
    info = read_selection_info(folder / "again.parquet")
    assert (info.scored, info.rows_read, info.scores.examples, info.scores.shards) == (6, 12, 7, 2)
    assert [row["example_id"] for row in holds["failures"]] == [6]
    assert len({row["score"] for row in holds["scores"]}) == 12


def test_scoring_goes_on_in_a_directory_of_scores(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is scored again: all shards are there, and the examples are gone."""
    before = {file: file.read_bytes() for file in (folder / "scores").rglob("*.parquet")}
    words = ["--weights", "weights.pt", "--manifest", "unlabeled.csv", "--output", "scores", "--per-example", "2"]
    words = [str(folder / word) if (folder / word).exists() else word for word in words]
    rest = ["--shard-size", "4", "--precision", "float32", "--device", "cpu", "--workers", "0", "--json"]
    assert cli.main(["score", *words, *rest]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["scored"], answer["failed"]) == (6, 1)
    assert {file: file.read_bytes() for file in before} == before


def test_what_they_hold_is_what_pyarrow_reads(holds: dict[str, Any]):
    assert holds["manifest"] == 6 and len(holds["scores"]) == 12
    assert all(0 <= row["score"] <= 1 and math.isfinite(row["score"]) for row in holds["scores"])
