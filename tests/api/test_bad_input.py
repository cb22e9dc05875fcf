"""What every function of the API refuses: wrong types, shapes, names and missing files, before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidsemi
from tests.helpers.errors import refused

FRAMES = np.zeros((4, 20, 20, 3), np.uint8)
OTHER: Any = object()


class Place:
    """Files that exist and files that do not."""

    def __init__(self, folder: Path, shapes: Path, weights: Path):
        self.new, self.weights, self.manifest = folder / "new", weights, shapes / "labeled.csv"
        self.missing = folder / "missing.pt"
        (folder / "text.pt").write_text("not weights")
        (folder / "list.csv").write_text("file,label\na,b\n")
        self.text, self.list = folder / "text.pt", folder / "list.csv"
        self.model = vidsemi.load_model(weights)

    def score(self, **changes: Any) -> object:
        return vidsemi.score(
            **{"model": self.model, "manifest": self.manifest, "output": self.new, "device": "cpu", **changes}
        )

    def train(self, **changes: Any) -> object:
        own = {"model": self.model, "dataset": self.manifest, "output": self.new, "batch_size": 8, "epochs": 1}
        return vidsemi.train(**{**own, "learning_rate": 0.1, "device": "cpu", **changes})


@pytest.fixture
def place(tmp_path: Path, shapes: Path, weights: Path) -> Place:
    return Place(tmp_path, shapes, weights)


CASES: list[tuple[str, Callable[[Place], object], tuple[object, ...]]] = [
    ("weights.missing", lambda p: vidsemi.load_model(p.missing), ("missing.pt",)),
    ("weights.not_vidsemi", lambda p: vidsemi.load_model(p.text), ("text.pt",)),
    ("options.invalid", lambda p: vidsemi.load_model(OTHER), ("weights",)),
    ("weights.unused_argument", lambda p: vidsemi.load_model(p.weights, classes=3), ("name",)),
    ("model.unknown", lambda p: vidsemi.create_model("r2plus1d_19", 3, frames=4), ("r2plus1d_19", "r2plus1d_18")),
    ("model.unknown", lambda p: vidsemi.create_model(OTHER, 3, frames=4), ("list_models",)),
    ("options.invalid", lambda p: vidsemi.create_model("r2plus1d_10", 0, frames=4), ("classes",)),
    ("classes.invalid", lambda p: vidsemi.create_model("r2plus1d_10", "run", frames=4), ("'run'",)),
    ("classes.repeated", lambda p: vidsemi.create_model("r2plus1d_10", ["a", "a"], frames=4), ("'a'",)),
    ("model.frames_missing", lambda p: vidsemi.create_model("r2plus1d_10", 3), ("frames",)),
    ("options.invalid", lambda p: vidsemi.create_model("r2plus1d_10", 3, frames=-1), ("frames",)),
    ("options.invalid", lambda p: vidsemi.create_model("r2plus1d_10", 3, frames=4, mean=[1, 2]), ("mean",)),
    ("model.invalid_args", lambda p: vidsemi.create_model("r2plus1d_10", 3, frames=4, args={"depth": 3}), ("depth",)),
    ("model.crop_too_large", lambda p: vidsemi.create_model("r2plus1d_10", 3, frames=4, size=200), ("200", "128")),
    ("weights.missing", lambda p: vidsemi.create_model("r2plus1d_10", 3, frames=4, init_from=p.missing), ("missing",)),
    ("model.unknown", lambda p: vidsemi.list_models(3), ("3",)),  # type: ignore[arg-type]
    ("clips.wrong_shape", lambda p: p.model(torch.zeros(1, 4, 3, 16, 16)), ("(1, 4, 3, 16, 16)", "(N, 3, T, H, W)")),
    ("clips.wrong_type", lambda p: p.model(torch.zeros(1, 3, 4, 16, 16, dtype=torch.uint8)), ("uint8", "predict")),
    ("options.invalid", lambda p: p.model.save(OTHER), ("file",)),
    ("model.wrong_type", lambda p: vidsemi.predict(torch.nn.Linear(1, 1), FRAMES), ("Linear", "create_model")),
    ("predict.not_found", lambda p: p.model.predict("missing.mp4"), ("missing.mp4",)),
    ("frames.wrong_type", lambda p: p.model.predict(FRAMES.astype(np.float32)), ("float32", "uint8")),
    ("frames.wrong_shape", lambda p: p.model.predict(FRAMES.transpose(0, 3, 1, 2)), ("(4, 3, 20, 20)", "channels")),
    ("frames.wrong_shape", lambda p: p.model.predict(FRAMES[0, 0]), ("(20, 3)",)),
    ("frames.wrong_shape", lambda p: p.model.predict(FRAMES[:, :0]), ("0×20",)),
    ("frames.none", lambda p: p.model.predict(FRAMES[:0]), ("video 0",)),
    ("frames.sizes_differ", lambda p: p.model.predict([FRAMES[0], FRAMES[0, 1:]]), ("19×20", "20×20")),
    ("frames.wrong_type", lambda p: p.model.predict(OTHER), ("video 0",)),
    ("predict.mixed", lambda p: p.model.predict([FRAMES, "a.mp4"]), ("two lists",)),
    ("options.invalid", lambda p: p.model.predict(FRAMES, top=0), ("top",)),
    ("options.invalid", lambda p: p.model.predict(FRAMES, views=2.5), ("views",)),  # type: ignore[arg-type]
    ("options.invalid", lambda p: p.model.predict(FRAMES, crops=5), ("crops", "10")),
    ("options.invalid", lambda p: p.model.predict(FRAMES, workers=-1), ("workers",)),
    ("options.invalid", lambda p: vidsemi.predict(p.model, FRAMES, decoder="opencv"), ("opencv", "pyav")),  # type: ignore[arg-type]
    ("device.unavailable", lambda p: p.model.predict(FRAMES, device="gpu"), ("gpu",)),
    ("progress.invalid", lambda p: p.model.predict(FRAMES, progress="bar"), ("str",)),  # type: ignore[arg-type]
    ("manifest.missing_file", lambda p: p.score(manifest="none.csv"), ("none.csv",)),
    ("manifest.missing_column", lambda p: p.score(manifest=p.list), ("'path'", "file, label")),
    ("manifest.wrong_type", lambda p: p.score(manifest=[1]), ("list",)),
    ("manifest.unused_root", lambda p: p.score(manifest=vidsemi.Manifest.read(p.manifest), root="/"), ("root",)),
    ("options.invalid", lambda p: p.score(precision="int8"), ("int8", "bfloat16")),
    ("options.invalid", lambda p: p.score(per_example=0), ("per_example",)),
    ("options.invalid", lambda p: p.score(output=3), ("output",)),
    ("options.address", lambda p: p.score(output="https://host/scores"), ("https://host/scores",)),
    ("weights.not_fetched", lambda p: p.score(model="file:///nowhere/w.pt"), ("file:///nowhere/w.pt",)),
    ("weights.missing", lambda p: vidsemi.evaluate(p.missing, p.manifest), ("missing.pt",)),
    ("output.is_input", lambda p: vidsemi.evaluate(p.model, p.manifest, by_class=p.manifest), ("labeled.csv",)),
    ("manifest.missing_file", lambda p: vidsemi.Manifest.read("none.csv"), ("none.csv",)),
    ("manifest.missing_root", lambda p: vidsemi.Manifest.read(p.manifest, "nowhere"), ("nowhere",)),
    ("scores.missing", lambda p: vidsemi.select(p.new, per_class=1, per_example=1), ("new",)),
    ("options.invalid", lambda p: vidsemi.select([], per_class=1, per_example=1), ("scores",)),
    ("options.invalid", lambda p: vidsemi.select(p.new, per_class=0, per_example=1), ("per_class",)),
    ("options.invalid", lambda p: vidsemi.select(p.new, per_class=1, per_example=1, min_score=2), ("min_score",)),
    ("policy.unknown", lambda p: vidsemi.select(p.new, per_class=1, per_example=1, policy="best"), ("'best'",)),
    ("train.no_length", lambda p: p.train(epochs=None), ("epochs", "examples")),
    ("options.unknown", lambda p: p.train(learningrate=1), ("learningrate", "learning_rate")),
    ("manifest.wrong_type", lambda p: p.train(dataset=OTHER), ("object",)),
    ("options.invalid", lambda p: p.train(checkpoint_seconds=0), ("checkpoint_seconds",)),
    ("model.unknown", lambda p: vidsemi.flops("resnet"), ("resnet",)),
    ("options.invalid", lambda p: vidsemi.flops("r2plus1d_10", frames=4, size=0), ("size",)),
    ("options.invalid", lambda p: vidsemi.flops(p.model, size=0), ("size",)),
    ("flops.unused_argument", lambda p: vidsemi.flops(p.model, classes=3), ("classes",)),
    ("export.unknown_suffix", lambda p: vidsemi.export(p.model, "network.pb"), ("network.pb", ".onnx")),
    ("export.format_mismatch", lambda p: vidsemi.export(p.model, "n.pt2", format="onnx"), ("n.pt2", "onnx")),
    ("report.missing_output", lambda p: vidsemi.report(["a", "b"]), ("output",)),
    ("options.invalid", lambda p: vidsemi.report([]), ("runs",)),
    ("config.not_found", lambda p: vidsemi.run("none.yaml"), ("none.yaml",)),
    ("config.missing_key", lambda p: vidsemi.run({"output": "x"}), ("data",)),
    ("config.unknown_key", lambda p: vidsemi.run("demo.yaml", dats=3), ("dats", "data")),
    ("config.invalid_override", lambda p: vidsemi.run("demo.yaml", {"output.x": 3}), ("output.x",)),
    ("run.unknown_stage", lambda p: vidsemi.run("demo.yaml", until="selekt"), ("selekt", "select")),
    ("options.invalid", lambda p: vidsemi.run(3), ("config",)),  # type: ignore[arg-type]
    ("model.not_saved", lambda p: vidsemi.transfer(vidsemi.create_model("resnet18", 2), "demo.yaml"), ("save",)),
]


@pytest.mark.parametrize(("code", "call", "mentioned"), CASES, ids=[f"{n} {case[0]}" for n, case in enumerate(CASES)])
def test_bad_input_is_refused(
    place: Place, code: str, call: Callable[[Place], object], mentioned: tuple[object, ...], tmp_path: Path
):
    before = sorted(tmp_path.iterdir())
    with refused(code, *mentioned):
        call(place)
    assert sorted(tmp_path.iterdir()) == before
