"""`train`: one network on one dataset."""

import copy
import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vidsemi.api.arguments import PathArgument, check_count, checked, manifest_of, path_of
from vidsemi.api.make_model import load_model
from vidsemi.api.model import Model
from vidsemi.api.train_dataset import TrainDataset
from vidsemi.config import Log, Recipe, Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.data.split import ValidationSet
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json, write_json
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.pipeline.lock import locked
from vidsemi.pipeline.record import RECORD, first_difference, read_record
from vidsemi.runtime.distributed import done_by_first, first_before_others, process_group, processes, started_processes
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.train import WEIGHTS, train_network


@dataclass(frozen=True)
class TrainResult:
    """A training that is done.

    Args:
        weights: the trained network, for `load_model`.
        metrics: examples, steps, loss, seconds, unreadable (example ids) and so on.
    """

    weights: Path
    metrics: dict[str, Any]


def train(
    model: Model | PathArgument,
    dataset: TrainDataset | Manifest | PathArgument,
    output: PathArgument,
    *,
    batch_size: int,
    learning_rate: float,
    epochs: float | None = None,
    examples: int | None = None,
    validation: Manifest | PathArgument | None = None,
    validation_views: int = 1,
    device: str = "auto",
    workers: int | None = None,
    checkpoint_seconds: float = 300,
    progress: ShowProgress = None,
    **recipe: Any,
) -> TrainResult:
    """Train a network by SGD with momentum on softmax cross-entropy. The model itself stays as it is.

    The output holds a log, and checkpoints while this lasts: a call after a killed one resumes from them, with the same
    weights to the bit in the end, and a call after one that is done returns its result. Processes that torchrun started
    share every step.

    Args:
        model: the network with its initial weights, or its weights file.
        dataset: examples with targets; a manifest stands for `TrainDataset.from_labels`. Its classes and input have to
            be those of the model.
        output: directory for weights.pt.
        batch_size: examples per step, over all processes.
        learning_rate: peak learning rate.
        epochs: length of the training, rounded up to whole steps.
        examples: the length in examples, instead of epochs.
        validation: labeled examples to measure the network on now and then.
        validation_views: clips per video for that.
        device: "cpu", "cuda", "cuda:1", …; "auto" is a GPU if there is one.
        workers: processes that decode files; by default one per core. With 0 this process decodes.
        checkpoint_seconds: time between checkpoints.
        progress: True for a bar, or a function that takes a `Progress`.
        recipe: other keys of a training recipe, such as `warmup_examples=1000` or `schedule="cosine"`; section Recipe
            of docs/reference/config.md has them all.

    Returns:
        the weights file and metrics.

    Raises:
        UserError: the dataset does not fit the model, the output holds another training, the loss is not finite, or an
            argument is wrong.
    """
    folder = path_of("output", output)
    check_count("validation_views", validation_views, 10_000)
    values = {"device": device, "workers": workers, "checkpoint_seconds": checkpoint_seconds}
    runtime = checked(Runtime, values)
    with show_progress(progress), process_group():
        with first_before_others():
            started = model if isinstance(model, Model) else load_model(model)
            data = _dataset(dataset, started)
            length = _length(epochs, examples, len(data), batch_size)
            own = checked(
                Recipe, {"examples": length, "batch_size": batch_size, "learning_rate": learning_rate, **recipe}
            )
            _check_micro_batches(own)
            held = None if validation is None else ValidationSet(manifest_of(validation), None, validation_views)
            if held is not None:
                held.manifest.label_indices(started.classes, "the model")
            fields = _fields(started, data, own, held)
        with locked(folder):
            done = done_by_first(lambda: _begin(folder, fields))
            metrics = _train(folder, started, data, own, runtime, held, fields) if done is None else done
    return TrainResult(folder / WEIGHTS, metrics)


def _dataset(dataset: Any, model: Model) -> TrainDataset:
    if not isinstance(dataset, TrainDataset):
        return TrainDataset.from_labels(manifest_of(dataset), classes=model.classes, input=model.input)
    if dataset.classes != model.classes:
        pairs = zip(dataset.classes, model.classes, strict=False)
        number, (theirs, ours) = next(((i, pair) for i, pair in enumerate(pairs) if len({*pair}) > 1), (0, ("", "")))
        which = f"class {number} is {theirs!r}, the model's is {ours!r}" if theirs else "their numbers differ"
        raise UserError(
            "train.class_mismatch",
            f"the dataset has {len(dataset.classes)} classes, the model {len(model.classes)}, in this order: {which}",
        )
    if replace(dataset.input, decoder=model.input.decoder) != model.input:
        name = next(name for name, value in asdict(dataset.input).items() if value != getattr(model.input, name))
        theirs, ours = getattr(dataset.input, name), getattr(model.input, name)
        raise UserError(
            "train.input_mismatch",
            f"the dataset has clips of {name} {theirs}, the model takes {ours}; give the dataset input=model.input",
        )
    return dataset


def _length(epochs: float | None, examples: int | None, size: int, batch_size: int) -> int | None:
    if (epochs is None) == (examples is None):
        raise UserError("train.no_length", "give the length of the training: either epochs or examples")
    if epochs is None:
        return examples
    check_count("batch_size", batch_size, 10**9)
    if not isinstance(epochs, int | float) or not 0 < epochs < math.inf:
        raise UserError("options.invalid", f"epochs is {epochs!r}; give a number above 0")
    return math.ceil(epochs * size / batch_size) * batch_size


def _check_micro_batches(recipe: Recipe) -> None:
    try:
        recipe.micro_batches_for(started_processes())
    except ValueError as error:
        raise UserError("recipe.micro_batches", f"train: {error}") from None


def _fields(model: Model, data: TrainDataset, recipe: Recipe, validation: ValidationSet | None) -> dict[str, Any]:
    """What determines the trained weights."""
    chosen = data.training_set
    digest = hashlib.sha256(chosen.manifest.fingerprint.encode())
    for array in (chosen.examples, chosen.targets.offsets, chosen.targets.labels, chosen.repeats):
        digest.update(b"none" if array is None else array.astype("<i8").tobytes())
    if chosen.targets.shares is not None:
        digest.update(chosen.targets.shares.astype("<f4").tobytes())
    fields = {
        "network": str(model.spec),
        "input": asdict(data.input),
        "classes": fingerprint_json(model.classes),
        "initial_weights": model._fingerprint(),
        "dataset": digest.hexdigest(),
        "hflip_prob": data.hflip_prob,
        "random_resized_crop_scale": data.random_resized_crop_scale,
        "seed": data.seed,
        "recipe": recipe.model_dump(mode="json"),
        "validation": None if validation is None else [validation.manifest.fingerprint, validation.views],
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _begin(folder: Path, fields: dict[str, Any]) -> dict[str, Any] | None:
    """Note that the training has begun; returns the metrics if it is done already."""
    record = read_record(folder)
    if record is None:
        if (folder / WEIGHTS).exists() or Checkpoints(folder).files():
            raise UserError(
                "train.output_not_empty", f"{folder} holds weights of something else; choose another output"
            )
        write_json(folder / RECORD, {"stage": "train", "status": "running", "fields": fields})
        return None
    if fingerprint_json(record["fields"]) != fingerprint_json(fields):
        raise UserError(
            "train.other_training",
            f"{folder} holds another training: {first_difference(record, fields)}; choose another output, or delete it",
        )
    metrics: dict[str, Any] | None = record["metrics"] if record["status"] == "done" else None
    return metrics if (folder / WEIGHTS).is_file() else None


def _train(
    folder: Path,
    model: Model,
    data: TrainDataset,
    recipe: Recipe,
    runtime: Runtime,
    validation: ValidationSet | None,
    fields: dict[str, Any],
) -> dict[str, Any]:
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        metrics = train_network(
            folder,
            data.training_set,
            replace(model.spec, input=data.input),
            recipe=recipe,
            hflip_prob=data.hflip_prob,
            random_resized_crop_scale=data.random_resized_crop_scale,
            seed=data.seed,
            runtime=runtime,
            log=Log(),
            title="train",
            network=copy.deepcopy(model.network).cpu(),
            provenance=model.provenance,
            validation_set=validation,
            run=fingerprint_json(fields),
        )
    if processes().first:
        write_json(folder / RECORD, {"stage": "train", "status": "done", "fields": fields, "metrics": metrics})
        Checkpoints(folder, fingerprint_json(fields)).clear()
    return metrics
