"""The functions of the API agree with the command line, show progress as they are asked to, and print nothing."""

import ast
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidsemi
from tests.conftest import REPOSITORY
from vidsemi.cli import main as cli

CPU = {"device": "cpu", "workers": 0}


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command of the command line; returns its JSON document."""

    def run(*arguments: object) -> dict[str, Any]:
        assert cli.main([*map(str, arguments), "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    return run


def document(value: object) -> dict[str, Any]:
    """A result as JSON gives it."""
    return json.loads(json.dumps(dataclasses.asdict(value), default=str))  # type: ignore[call-overload]


def test_score_select_and_describe(tmp_path: Path, shapes: Path, weights: Path, command: Callable[..., dict[str, Any]]):
    model, manifest = vidsemi.load_model(weights), vidsemi.Manifest.read(shapes / "unlabeled.csv")
    seen: list[vidsemi.Progress] = []
    options = {"views": 2, "per_example": 4, "shard_size": 20, **CPU}
    scores = vidsemi.score(model, manifest, tmp_path / "scores", progress=seen.append, **options)
    assert (scores.scored, scores.failed, scores.shards) == (52, 0, 3)
    assert seen[-1] == vidsemi.Progress("score", "example", done=52, total=52) and len(seen) > 3
    again = vidsemi.score(str(weights), str(shapes / "unlabeled.csv"), str(tmp_path / "scores"), **options)
    assert again == scores  # nothing is left to do: a model and its file are the same

    flags = ["--views", 2, "--per-example", 4, "--shard-size", 20, "--device", "cpu", "--workers", 0]
    told = command(
        "score", "--weights", weights, "--manifest", shapes / "unlabeled.csv", "--output", tmp_path / "cli", *flags
    )
    assert {**document(scores), "scores": None} == {**told, "scores": None, "in_float32": []}
    for part in sorted((tmp_path / "scores").glob("part-*.parquet")):
        assert part.read_bytes() == (tmp_path / "cli" / part.name).read_bytes()

    selection = vidsemi.select(tmp_path / "scores", per_class=3, per_example=2)
    told = command(
        *("select", "--scores", tmp_path / "scores", "--per-class", 3, "--per-example", 2),
        *("--output", tmp_path / "selection.parquet"),
    )
    assert told == {"selection": str(tmp_path / "selection.parquet"), **selection.describe()}
    selection.write(tmp_path / "own.parquet")
    assert (tmp_path / "own.parquet").read_bytes() == (tmp_path / "selection.parquet").read_bytes()


def test_evaluate(tmp_path: Path, shapes: Path, weights: Path, command: Callable[..., dict[str, Any]]):
    model = vidsemi.load_model(weights)
    found = vidsemi.evaluate(model, shapes / "test.csv", views=2, by_class=tmp_path / "own.csv", **CPU)
    flags = ["--views", 2, "--device", "cpu", "--workers", 0, "--by-class", tmp_path / "classes.csv"]
    told = command("evaluate", "--weights", weights, "--manifest", shapes / "test.csv", *flags)
    assert document(found) == told
    assert (tmp_path / "own.csv").read_text() == (tmp_path / "classes.csv").read_text()
    assert (found.total, found.read, found.views, found.parameters) == (
        16,
        16,
        2,
        sum(p.numel() for p in model.parameters()),
    )


def test_predict(shapes: Path, weights: Path, command: Callable[..., dict[str, Any]]):
    files = [shapes / "test" / "00000.mp4", shapes / "test" / "00001.mp4"]
    predictions = vidsemi.predict(weights, files, views=2, top=3, **CPU)
    flags = ["--views", 2, "--top", 3, "--device", "cpu", "--workers", 0]
    told = command("predict", *files, "--weights", weights, *flags)
    assert [prediction.document() for prediction in predictions] == told["files"]


def test_flops(weights: Path, command: Callable[..., dict[str, Any]]):
    cost = vidsemi.flops("r2plus1d_10", frames=4, size=16, args={"width": 0.0625}, classes=8)
    told = command(
        *("flops", "--model", "r2plus1d_10", "--frames", 4, "--size", 16, "--classes", 8, "--args", "width=0.0625")
    )
    assert {**told, **cost.document(10)} == told
    assert vidsemi.flops(vidsemi.load_model(weights)) == cost
    wide = vidsemi.flops(vidsemi.load_model(weights), frames=8, size=32)
    assert wide.parameters == cost.parameters and wide.gmacs_per_view > 4 * cost.gmacs_per_view


@pytest.mark.slow
def test_export(tmp_path: Path, weights: Path, command: Callable[..., dict[str, Any]]):
    exported = vidsemi.export(vidsemi.load_model(weights), tmp_path / "own.pt2")
    told = command("export", "--weights", weights, "--output", tmp_path / "network.pt2")
    assert {**document(exported), "file": None} == {**told, "file": None}
    assert exported.file.stat().st_size == exported.bytes


@pytest.mark.slow
def test_run_and_transfer(tmp_path: Path, tiny_config: Callable[..., Path], shapes: Path):
    seen: set[str] = set()
    config = tiny_config()
    result = vidsemi.run(
        config, {"train.pretrain.examples": 16}, output=tmp_path / "own", progress=lambda one: seen.add(one.title)
    )
    assert {row["approach"] for row in result.results} == {"teacher", "supervised", "semi_supervised"}
    assert result.report is not None and (result.output / "report.html").is_file() and result.output == tmp_path / "own"
    assert len(seen) > 3
    assert vidsemi.run(config, {"train.pretrain.examples": 16}, output=str(tmp_path / "own")).results == result.results
    written = vidsemi.report(tmp_path / "own", tmp_path / "page", speed=False)
    assert (written.output / "report.html").is_file() and written.text == result.report.text

    target = {"name": "s", "train": f"{shapes}/labeled.csv", "test": f"{shapes}/test.csv", "protocols": ["fc_only"]}
    weights = next((tmp_path / "own").rglob("finetune/weights.pt"))
    own = {"output": tmp_path / "moved", "transfer": [{**target, "views": 2}], "runtime": {"device": "cpu"}}
    moved = vidsemi.transfer(vidsemi.load_model(weights), {**own, "runtime": CPU})
    assert [row["transfer"] for row in moved.results] == ["s"]


def test_run_stops_where_it_is_told(tiny_config: Callable[..., Path]):
    result = vidsemi.run(tiny_config(), until="teacher")
    assert result.results == [] and result.report is None


def test_a_loop_of_ones_own_sees_progress_and_may_stop(weights: Path):
    class StopNowError(Exception):
        pass

    def stop(progress: vidsemi.Progress) -> None:
        if progress.done:
            raise StopNowError

    frames = [np.zeros((4, 20, 20, 3), np.uint8)] * 2
    with pytest.raises(StopNowError):
        vidsemi.predict(weights, frames, progress=stop)
    assert len(vidsemi.predict(weights, frames)) == 2


def test_the_library_neither_prints_nor_exits():
    for file in sorted((REPOSITORY / "vidsemi").rglob("*.py")):
        if file.parent.name == "cli" or file.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert name not in {"print", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write"}, (
                file,
                node.lineno,
            )
            raised = node.exc if isinstance(node, ast.Raise) else None
            assert raised is None or "SystemExit" not in ast.unparse(raised), (file, node.lineno)


@pytest.mark.slow
def test_workers_start_from_a_script_without_a_guard(tmp_path: Path, shapes: Path, weights: Path):
    """And from a notebook, whose code is in no file."""
    code = f"""
import vidsemi
print("begin")
video = {str(shapes / "test" / "00000.mp4")!r}
print(len(vidsemi.predict({str(weights)!r}, [video, video], views=2, device="cpu", workers=2)))
"""
    (tmp_path / "script.py").write_text(code)
    for command in (["script.py"], ["-c", code]):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert (done.stdout, done.stderr) == ("begin\n2\n", "")
