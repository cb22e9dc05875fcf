"""`evaluate`: video-level accuracy on a labeled manifest, next to the cost of the network."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from vidsemi.api.arguments import PathArgument, manifest_of, path_of, runtime_of
from vidsemi.api.model import Model
from vidsemi.api.model_arguments import check_views, trained_of
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.io.files import keep_inputs, prepare_target
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.runtime.distributed import first_before_others, process_group


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a network, in percent of all examples: one that cannot be read counts as wrong.

    Args:
        top1: share of examples whose highest-scoring class is their label.
        top5: share of examples whose label is among the five highest-scoring classes.
        mean_class_top1: top1 within each class, averaged over the classes.
        read: number of examples that can be read.
        total: number of examples.
        model: name of the network.
        num_classes: classes of the network.
        views: clips × crops per video.
        crops: per clip.
        frames: per clip.
        gmacs_per_video: billions of multiply-adds of all views of a video.
        gmacs_per_view: billions of multiply-adds of one forward pass.
        parameters: of the network.
        activations_per_view: outputs of convolutions, linear layers and attention.
        gmacs_by_group: `gmacs_per_view` by parts of the network.
        uncounted: other operators, and how often each ran.
    """

    top1: float
    top5: float
    mean_class_top1: float
    read: int
    total: int
    model: str
    num_classes: int
    views: int
    crops: int
    frames: int
    gmacs_per_video: float
    gmacs_per_view: float
    parameters: int
    activations_per_view: int
    gmacs_by_group: dict[str, float]
    uncounted: dict[str, int]


def evaluate(
    model: Model | PathArgument,
    manifest: Manifest | PathArgument,
    *,
    root: PathArgument | None = None,
    views: int = 10,
    crops: int = 1,
    by_class: PathArgument | None = None,
    decoder: Decoder = "pyav",
    device: str = "auto",
    workers: int | None = None,
    seconds_per_file: float = 600,
    clips_per_forward: int | None = None,
    progress: ShowProgress = None,
) -> Evaluation:
    """Measure the accuracy of a network in float32. Processes that torchrun started share the examples.

    Args:
        model: a network, or its weights file.
        manifest: labeled examples, or the file of the manifest.
        root: folder that the paths in a manifest's file are relative to, by default its own.
        views: clips per video, evenly spread, whose softmax scores are averaged.
        crops: per clip: 1 (the center), or 10.
        by_class: CSV to write with the accuracy of each class.
        decoder: of videos that it is known to decode correctly; PyAV reads the others.
        device: "cpu", "cuda", "cuda:1", …; "auto" is the one where the model is, or a GPU if that is the CPU.
        workers: processes that decode files; by default one per core. With 0 this process decodes.
        seconds_per_file: time limit for decoding a file.
        clips_per_forward: batch size; by default 10 on a CPU, else 64.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the accuracy, and what the network costs.

    Raises:
        UserError: a label is missing or is not a class of the network, or an argument is wrong.
    """
    runtime = runtime_of(device, workers, seconds_per_file, clips_per_forward)
    check_views(views, crops)
    table = None if by_class is None else path_of("by_class", by_class)
    with show_progress(progress), process_group():
        with first_before_others():
            examples = manifest_of(manifest, root)
            if table is not None:
                keep_inputs(table, examples.file, *_file_of(model))
                prepare_target(table)
            trained, runtime = trained_of(model, decoder, runtime)
        metrics = evaluate_weights(
            weights=trained,
            manifest=examples,
            views=views,
            crops=crops,
            decoder=decoder,
            runtime=runtime,
            title="evaluate",
            by_class=table,
        )
    return Evaluation(**metrics)


def _file_of(model: Any) -> list[Path]:
    return [Path(model)] if isinstance(model, str | PathLike) else []
