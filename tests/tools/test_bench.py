"""The benchmark: its data keeps the contract, its contenders agree, its table says what was measured."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.virtual_cuda import virtual_cuda
from tools.bench.command import main as bench
from tools.bench.decode import bench_decode, text
from tools.bench.measure import named
from tools.bench.score import _rows
from tools.bench.score import text as score_text
from tools.bench.score_data import ScoreData
from tools.bench.select_contenders import digests
from vidsemi.selection.score_reader import open_shards, shard_files
from vidsemi.selection.select import select

pytestmark = pytest.mark.slow


def test_files_and_generator_hold_the_same_rows(tmp_path: Path):
    data = ScoreData(at_least=11_001, classes=40, stored=4, examples_per_shard=500)
    data.write(tmp_path)
    shards, info = open_shards(shard_files(tmp_path))
    assert info == data.info
    assert len(shards) == 6
    from_files = select(shards, info, per_class=50, per_example=4)
    generated = select(data.generated_shards(), info, per_class=50, per_example=4)
    assert from_files.example_id.tolist() == generated.example_id.tolist()
    assert from_files.info == generated.info
    assert from_files.info.rows_read == data.rows == 12_000
    assert from_files.info.scored == 3000


def test_the_data_is_skewed_and_has_ties():
    data = ScoreData(at_least=8000, classes=40, stored=4, examples_per_shard=500)
    shards = [data.shard(number) for number in range(4)]
    counts = np.bincount(np.concatenate([shard.label for shard in shards]), minlength=40)
    assert counts[0] > 3 * counts[39] > 0
    scores = np.concatenate([shard.score for shard in shards])
    assert len(np.unique(scores)) < len(scores) - 500
    assert 0 < scores.min() <= scores.max() < 1


def test_selections_of_all_contenders_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    options = ["--rows", "4000", "--classes", "20", "--per-class", "60", "--rounds", "1"]
    options += ["--shard-size", "500", "--data", str(tmp_path)]
    assert bench(["select", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agree"] is True
    answers = {row["name"]: row["answer"] for row in document["contenders"]}
    assert answers.pop("bare read (pyarrow)") == ""
    assert answers.pop("DuckDB max_by, ties by chance") in ("same scores", "same rows")
    assert set(answers.values()) == {"same rows"}
    assert len(answers) == 5
    for row in document["contenders"]:
        assert row["seconds"] > 0
        assert row["peak_mib"] > 10
        assert row["all_seconds"] == [row["seconds"]]
        assert row["rows_per_second"] == pytest.approx(4000 / row["seconds"])
    assert bench(["select", *options, "--generate"]) == 0
    assert "| vidsemi   |" in capsys.readouterr().out


def test_different_selections_have_different_digests():
    columns = (np.array([0, 0]), np.array([1, 2]), np.array([0.5, 0.5], np.float32))
    swapped = (np.array([0, 0]), np.array([2, 1]), np.array([0.5, 0.5], np.float32))
    other_id = (np.array([0, 0]), np.array([1, 3]), np.array([0.5, 0.5], np.float32))
    assert digests(columns) == digests(swapped)
    assert digests(columns)["scores"] == digests(other_id)["scores"]
    assert digests(columns)["rows"] != digests(other_id)["rows"]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--rows", "0"], "--rows"), (["--per-example", "300"], "half"), (["--only", "x"], "no contender 'x'")],
)
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str):
    assert bench(["select", "--data", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("warm_contenders")
def test_decoding(make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = make_video("a.mp4", frames=40)
    names = ["bare decode (PyAV)", "vidsemi", "vidsemi, decord", "decord", "pytorchvideo, PyAV", "vidsemi, workers: 1"]
    options = [str(file), "--rounds", "1", "--repeats", "1", "--only", *names]
    assert bench(["decode", *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["contenders"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["failed"] is None
        for length in (8, 32):
            assert row[f"videos_per_second_{length}"] > 0
            assert row[f"over_vidsemi_{length}"] == pytest.approx(
                row[f"videos_per_second_{length}"] / rows["vidsemi"][f"videos_per_second_{length}"]
            )
    assert rows["vidsemi"]["difference_8"] == 0
    assert 0 <= rows["decord"]["difference_8"] < 3
    assert rows["bare decode (PyAV)"]["difference_8"] is None


@pytest.mark.usefixtures("warm_contenders")
def test_a_failed_contender_is_reported(make_video: Callable[..., Path], tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"x" * 1000)
    document = bench_decode([broken], repeats=1, rounds=1, only=["vidsemi"])
    assert "not a video" in document["contenders"][0]["failed"]
    assert "not a video" in text(document)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing.mp4"], "there is no file missing.mp4"),
        ([__file__, "--only", "nobody"], "there is no contender 'nobody'; they are: bare decode"),
        ([__file__, "--repeats", "0"], "--repeats is 0; it must lie in"),
    ],
)
def test_bad_options_of_the_decoding_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
):
    assert bench(["decode", "--data", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("warm_contenders")
def test_scoring(make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = [str(make_video(f"{n}.mp4", frames=30)) for n in range(2)]
    names = ["decode alone", "network alone, float32", "vidsemi, float32", "pytorchvideo"]
    options = [
        *files,
        "--rounds",
        "1",
        "--videos",
        "4",
        "--model",
        "r2plus1d_10",
        "--data",
        str(tmp_path),
        "--only",
        *names,
    ]
    assert bench(["score", *options, "--device", "cpu", "--only", *names, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (network,) = document["networks"]
    assert document["videos"] == {network: 4}
    rows = {row["name"]: row for row in document["networks"][network]}
    assert list(rows) == names
    for row in rows.values():
        assert row["failed"] is None, row
        assert row["videos_per_second"] > 0
        assert row["peak_mib"] > 10
    decode, alone, ours, peer = (rows[name]["videos_per_second"] for name in names)
    assert rows["vidsemi, float32"]["of_lower_limit"] == pytest.approx(ours / min(decode, alone))
    assert rows["vidsemi, float32"]["of_shared_limit"] == pytest.approx(ours * (1 / decode + 1 / alone))
    assert rows["vidsemi, float32"]["over_peers"] == {"pytorchvideo": pytest.approx(ours / peer)}
    assert "| vidsemi, float32       |" in score_text(document)


def test_benchmarks_name_the_gpu_they_ran_on():
    with virtual_cuda():
        assert named(torch.device("cuda:0")) == "virtual GPU"
        assert named(torch.device("cpu")) == "cpu"


def test_on_a_gpu_videos_share_no_core_time_with_the_network():
    rates = {"decode alone": 20.0, "network alone, float32": 10.0, "vidsemi, float32": 8.0}
    runs = {name: [{"videos_per_second": rate, "peak_mib": 1.0}] for name, rate in rates.items()}
    for shared, expected in ((True, 8 / 20 + 8 / 10), (False, None)):
        ours = _rows(runs, shared)[-1]
        assert ours["of_lower_limit"] == 8 / 10
        assert ours["of_shared_limit"] == (expected and pytest.approx(expected))
