"""The evaluation stage: weights → video-level accuracy beside what the network costs."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.inference.accuracy import Accuracy, accuracy, ranks_of_labels
from vidsemi.inference.class_accuracy import accuracy_by_class, write_class_accuracy
from vidsemi.inference.score_views import VideoScore, score_rows
from vidsemi.io.progress import progress_bar
from vidsemi.models import checkpoint
from vidsemi.models.checkpoint import NetworkSpec
from vidsemi.models.flops import measure_cost
from vidsemi.runtime.distributed import done_by_first, first_before_others, gather, processes

logger = logging.getLogger("vidsemi")


def evaluate_stage(
    *,
    weights: Path,
    manifest: Manifest,
    views: int,
    crops: int = 1,
    runtime: Runtime,
    title: str,
    by_class: Path | None = None,
    labeled: Manifest | None = None,
) -> dict[str, Any]:
    """Test a network; of several processes each scores its share of the examples, and all get the figures of all.

    Args:
        weights: of the network.
        manifest: labelled examples; their labels must be among the network's classes.
        views: clips a video; an image has one.
        crops: of each clip: 1, the centre, or 10.
        runtime: what to run on.
        title: for the progress bar.
        by_class: gets the accuracy of each class, as `write_class_accuracy` writes it.
        labeled: D, whose examples of each class stand in that file.

    Returns:
        top1, top5, mean_class_top1 (percent), read, total, model, views (of an example: its clips times the crops; the
        most that any has), crops, frames, gmacs_per_video and all of `Cost`.
    """
    with first_before_others():
        network, spec = checkpoint.load_weights(weights)
        labels = manifest.label_indices(spec.classes, str(weights))
    own = processes()
    share = range(own.rank, len(manifest), own.size)
    results = score_rows(network, spec.input, share, manifest.row, views=views, crops=crops, runtime=runtime)
    most = 0
    with closing(results) as scores, progress_bar(len(share), "example", title) as bar:

        def counted() -> Iterator[VideoScore]:
            """The scores, while the bar moves on."""
            nonlocal most
            for score in scores:
                bar.update()
                most = max(most, 0 if score.views is None else len(score.views))
                yield score

        ranks = ranks_of_labels(counted(), labels)
    ranks = dict(pair for share in gather([*ranks.items()]) for pair in share)
    result = accuracy(ranks, labels)
    if by_class:
        counts = None if labeled is None else labeled.label_counts()
        rows = accuracy_by_class(ranks, labels.tolist(), spec.classes, counts)
        done_by_first(lambda: write_class_accuracy(by_class, rows))
    most = max(gather(most)) or views * crops  # of all processes; if nothing could be read, what was asked for
    if own.first and result.read < result.total:
        logger.warning(
            "%s: only %d of %d examples can be read; the others count as wrong", title, result.read, result.total
        )
    return figures_of(result, network, spec, views=most, crops=crops)


def figures_of(result: Accuracy, network: nn.Module, spec: NetworkSpec, *, views: int, crops: int) -> dict[str, Any]:
    """What a test came to, beside what the network costs, as it stands in results.json.

    Args:
        result: of the test.
        network: that was tested.
        spec: of the network.
        views: of an example, crops counted.
        crops: of each clip.
    """
    cost = measure_cost(network, frames=spec.input.frames, size=spec.input.crop)
    return {
        **asdict(result),
        "model": spec.model,
        "views": views,
        "crops": crops,
        "frames": spec.input.frames,
        "gmacs_per_video": cost.gmacs_per_view * views,
        **asdict(cost),
    }
