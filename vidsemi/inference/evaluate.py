"""Evaluation: weights and a labeled manifest → video-level accuracy, next to the cost of the network."""

import logging
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vidsemi.config import Runtime
from vidsemi.data.class_map import ClassMap
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.inference.accuracy import (
    UNREADABLE,
    Accuracy,
    accuracy,
    accuracy_by_class,
    rank_of_label,
    write_class_accuracy,
)
from vidsemi.inference.prediction_store import MESSAGE, PredictionStore
from vidsemi.inference.predictions import TOP, write_predictions
from vidsemi.inference.score_views import score_examples
from vidsemi.io.files import make_folder
from vidsemi.io.progress import progress_bar
from vidsemi.models.flops import measure_cost
from vidsemi.models.trained import Trained, open_trained
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.distributed import done_by_first, first_before_others, gather, processes

logger = logging.getLogger("vidsemi")


def evaluate_weights(
    *,
    weights: Path | Trained,
    manifest: Manifest,
    views: int,
    crops: int = 1,
    runtime: Runtime,
    title: str,
    decoder: Decoder = "pyav",
    by_class: Path | None = None,
    labeled: Manifest | None = None,
    predictions: Path | None = None,
    class_map: ClassMap | None = None,
) -> dict[str, Any]:
    """Evaluate a network in float32; several processes share the examples and all return the metrics of the whole.

    The labels must be among the network's classes, or those that a `class_map` makes of its outputs. `by_class` is
    written by `write_class_accuracy`, with the class counts of the `labeled` set, and `predictions` by
    `write_predictions`. For `views` and `crops` see `ViewReader`; for the result see `evaluation_metrics`.
    """
    with first_before_others():
        trained = open_trained(weights, decoder)
        network, spec = trained.network, trained.spec
        classes = spec.classes if class_map is None else class_map.classes
        labels = manifest.label_indices(classes, trained.name)
    process = processes()
    share = range(process.rank, len(manifest), process.size)
    results = score_examples(
        network, spec.input, share, manifest, views=views, crops=crops, runtime=runtime, class_map=class_map
    )
    ranks, most_views = np.full(len(share), UNREADABLE), 0
    folder, top = predictions.parent if predictions and process.first else None, min(TOP, len(classes))
    with ExitStack() as stack:
        if folder is not None:
            make_folder(folder)
        predicted = stack.enter_context(PredictionStore(folder, top)) if predictions else None
        with closing(results), progress_bar(len(share), "example", title) as bar:
            for place, score in enumerate(results):
                scores = score.probabilities
                if scores is not None:
                    ranks[place] = rank_of_label(scores, int(labels[score.example_id]))
                if predicted is not None:
                    predicted.add(score)
                most_views = max(most_views, 0 if score.views is None else len(score.views))
                bar.update()
        if predictions and predicted is not None:
            if process.size > 1:
                own, predicted = predicted, stack.enter_context(PredictionStore(folder, top))
                predicted.add_of_processes(own, len(manifest))
            parts = predicted.parts()
            done_by_first(lambda: write_predictions(predictions, manifest, classes, top, parts))
    ranks = _of_all_processes(ranks, len(manifest))
    result = accuracy(ranks, labels)
    if by_class:
        counts = None if labeled is None else labeled.label_counts()
        rows = accuracy_by_class(ranks, labels, classes, counts)
        done_by_first(lambda: write_class_accuracy(by_class, rows))
    most_views = max(gather(most_views)) or views * crops  # as requested if no example is readable
    if process.first and result.read < result.total:
        message = "%s: only %d of %d examples can be read; the others count as wrong"
        logger.warning(message, title, result.read, result.total)
    spec = replace(spec, classes=classes)
    return done_by_first(lambda: evaluation_metrics(result, network, spec, views=most_views, crops=crops))


def _of_all_processes(ranks: np.ndarray, count: int) -> np.ndarray:
    """The ranks of all examples, (count,) int64, from those of this process, which has every n-th one."""
    process = processes()
    if process.size == 1:
        return ranks
    found = np.full(count, UNREADABLE)
    for begin in range(0, -(-count // process.size), MESSAGE):
        for number, own in enumerate(gather(ranks[begin : begin + MESSAGE].tolist())):
            found[number + begin * process.size :: process.size][: len(own)] = own
    return found


def evaluation_metrics(
    result: Accuracy, network: nn.Module, spec: NetworkSpec, *, views: int, crops: int
) -> dict[str, Any]:
    """Return accuracy and cost of a network as results.json stores them; `views` counts clips × crops."""
    cost = measure_cost(network, frames=spec.input.frames, size=spec.input.crop)
    return {
        **asdict(result),
        "model": spec.model,
        "num_classes": len(spec.classes),
        "views": views,
        "crops": crops,
        "frames": spec.input.frames,
        "gmacs_per_video": cost.gmacs_per_view * views,
        **asdict(cost),
    }
