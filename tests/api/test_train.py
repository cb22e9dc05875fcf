"""`train`: the trainer's weights to the bit, also after a kill; the model stays as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch

import vidsemi
from tests.helpers.errors import refused
from vidsemi.config import Log, Recipe, Runtime
from vidsemi.models.weights_file import load_weights
from vidsemi.training.train import train_network
from vidsemi.training.training_set import labeled_set

CPU = {"device": "cpu", "workers": 0}
RECIPE: dict[str, Any] = {"batch_size": 8, "learning_rate": 0.05, "warmup_examples": 8, "label_smoothing": 0.1}
NARROW = {"frames": 4, "size": 16, "resize": (20, 20), "args": {"width": 0.0625}}


class KilledError(Exception):
    """In the middle of a training."""


def fresh(manifest: vidsemi.Manifest) -> vidsemi.Model:
    torch.manual_seed(0)
    return vidsemi.create_model("r2plus1d_10", manifest.class_names(), **NARROW)


def tensors(file: Path) -> dict[str, torch.Tensor]:
    return load_weights(file)[0].state_dict()


@pytest.mark.slow
def test_training_by_hand_and_by_the_trainer(tmp_path: Path, shapes: Path):
    manifest = vidsemi.Manifest.read(shapes / "labeled.csv")
    model = fresh(manifest)
    dataset = vidsemi.TrainDataset.from_labels(manifest, input=model.input, hflip_prob=0)
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    done = vidsemi.train(model, dataset, tmp_path / "own", epochs=0.9, **RECIPE, **CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (done.metrics["examples"], done.metrics["steps"]) == (24, 3)

    train_network(
        tmp_path / "trainer",
        labeled_set(manifest, 0),
        model.spec,
        recipe=Recipe(examples=24, **RECIPE),
        hflip_prob=0,
        random_resized_crop_scale=None,
        seed=0,
        runtime=Runtime(device="cpu", workers=0),
        log=Log(),
        title="train",
    )
    expected, found = tensors(tmp_path / "trainer" / "weights.pt"), tensors(done.weights)
    assert all(torch.equal(value, expected[name]) for name, value in found.items())

    def kill(progress: vidsemi.Progress) -> None:
        if progress.done == 16:
            raise KilledError

    with pytest.raises(KilledError):
        vidsemi.train(
            model, dataset, tmp_path / "b", epochs=0.9, checkpoint_seconds=1e-9, progress=kill, **RECIPE, **CPU
        )
    seen: list[int] = []
    again = vidsemi.train(
        fresh(manifest),
        dataset,
        tmp_path / "b",
        examples=24,
        progress=lambda one: seen.append(one.done),
        **RECIPE,
        **CPU,
    )
    assert seen[0] > 0  # from the checkpoint
    assert all(torch.equal(value, expected[name]) for name, value in tensors(again.weights).items())
    assert not list((tmp_path / "b").glob("checkpoint-*"))

    stamp = done.weights.stat().st_mtime_ns
    assert vidsemi.train(model, dataset, tmp_path / "own", epochs=0.9, **RECIPE, **CPU) == done
    assert done.weights.stat().st_mtime_ns == stamp
    with refused("train.other_training", "learning_rate", "0.05"):
        vidsemi.train(model, dataset, tmp_path / "own", epochs=0.9, **{**RECIPE, "learning_rate": 0.1}, **CPU)
    with refused("train.other_training", "initial_weights"):
        vidsemi.train(vidsemi.load_model(done.weights), dataset, tmp_path / "own", epochs=0.9, **RECIPE, **CPU)


@pytest.mark.slow
def test_a_manifest_is_enough_and_hashtags_are_remembered(tmp_path: Path, shapes: Path, weights: Path):
    model = vidsemi.load_model(weights)  # it says that it has seen hashtags
    options = {"examples": 8, "validation": shapes / "test.csv", **RECIPE, **CPU, "warmup_examples": 0}
    done = vidsemi.train(model, shapes / "labeled.csv", tmp_path / "out", **options, validations=1)
    trained = vidsemi.load_model(done.weights)
    assert trained.classes == model.classes and trained.provenance["hashtags"] is True
    assert done.metrics["validation"]["best"]["total"] == 16


def test_what_does_not_fit_is_refused(tmp_path: Path, shapes: Path, weights: Path):
    model, manifest = vidsemi.load_model(weights), vidsemi.Manifest.read(shapes / "labeled.csv")
    fits = vidsemi.TrainDataset.from_labels(manifest, input=model.input)
    own: dict[str, Any] = {"batch_size": 8, "learning_rate": 0.1, "epochs": 1}
    with refused("train.class_mismatch", "class 0", *model.classes[:1]):
        other = vidsemi.TrainDataset.from_labels(manifest, input=model.input, classes=[*reversed(model.classes)])
        vidsemi.train(model, other, tmp_path, **own)
    with refused("train.input_mismatch", "frames 8", "4"):
        vidsemi.train(model, vidsemi.TrainDataset.from_labels(manifest), tmp_path, **own)
    with refused("train.no_length", "epochs", "examples"):
        vidsemi.train(model, fits, tmp_path, **own, examples=8)
    with refused("options.unknown", "warmup"):
        vidsemi.train(model, fits, tmp_path, **own, warmup=3)
    with refused("options.invalid", "learning_rate"):
        vidsemi.train(model, fits, tmp_path, **{**own, "learning_rate": -1})
    with refused("options.invalid", "batch_size"):
        vidsemi.train(model, fits, tmp_path, **{**own, "batch_size": "8"})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "weights.pt").write_bytes(b"")
    with refused("train.output_not_empty", tmp_path):
        vidsemi.train(model, fits, tmp_path, **own)
