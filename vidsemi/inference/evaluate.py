"""Evaluation: weights and a labeled manifest → video-level accuracy, next to the cost of the network."""

import logging
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vidsemi.config import Runtime
from vidsemi.data.class_map import ClassMap
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.inference.accuracy import Accuracy, accuracy, accuracy_by_class, rank_of_label, write_class_accuracy
from vidsemi.inference.predictions import TOP, Predicted, write_predictions
from vidsemi.inference.score_views import VideoScore, score_examples
from vidsemi.io.progress import progress_bar
from vidsemi.models.flops import measure_cost
from vidsemi.models.trained import Trained, open_trained
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.distributed import done_by_first, first_before_others, gather, processes
from vidsemi.selection.score_writer import top_classes

logger = logging.getLogger("vidsemi")

Prediction = tuple[int, list[int], list[float], str | None]  # example id, labels, scores, why it cannot be read


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
    ranks: dict[int, int | None] = {}
    predicted: list[Prediction] = []
    most_views = 0
    with closing(results), progress_bar(len(share), "example", title) as bar:
        for score in results:
            scores, label = score.probabilities, int(labels[score.example_id])
            ranks[score.example_id] = None if scores is None else rank_of_label(scores, label)
            if predictions:
                predicted.append(_prediction(score))
            most_views = max(most_views, 0 if score.views is None else len(score.views))
            bar.update()
    ranks = dict(pair for own in gather([*ranks.items()]) for pair in own)
    result = accuracy(ranks, labels)
    if by_class:
        counts = None if labeled is None else labeled.label_counts()
        rows = accuracy_by_class(ranks, labels.tolist(), classes, counts)
        done_by_first(lambda: write_class_accuracy(by_class, rows))
    if predictions:
        predicted = sorted(one for own in gather(predicted) for one in own)
        done_by_first(lambda: _write_predictions(predictions, manifest, classes, predicted))
    most_views = max(gather(most_views)) or views * crops  # as requested if no example is readable
    if process.first and result.read < result.total:
        message = "%s: only %d of %d examples can be read; the others count as wrong"
        logger.warning(message, title, result.read, result.total)
    spec = replace(spec, classes=classes)
    return done_by_first(lambda: evaluation_metrics(result, network, spec, views=most_views, crops=crops))


def _prediction(score: VideoScore) -> Prediction:
    """The highest-scoring classes of an example, as values that `gather` takes."""
    if score.probabilities is None:
        return score.example_id, [], [], score.error
    labels, scores = top_classes(score.probabilities[None], TOP)
    return score.example_id, labels[0].tolist(), scores[0].tolist(), None


def _write_predictions(file: Path, manifest: Manifest, classes: list[str], predicted: list[Prediction]) -> None:
    read = [(example_id, labels, scores) for example_id, labels, scores, error in predicted if error is None]
    ids, labels, scores = zip(*read, strict=True) if read else ((), (), ())
    top = min(TOP, len(classes))
    part = Predicted(
        range(len(manifest)),
        np.array(ids, np.int64),
        np.array(labels, np.int64).reshape(-1, top),
        np.array(scores, np.float32).reshape(-1, top),
        {example_id: error for example_id, _, _, error in predicted if error is not None},
    )
    write_predictions(file, manifest, classes, top, [part])


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
