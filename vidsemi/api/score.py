"""`score`: the highest-scoring classes of every example of a manifest, as a directory of files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vidsemi.api.arguments import PathArgument, check_count, manifest_of, path_of, place_of, runtime_of
from vidsemi.api.model import Model
from vidsemi.api.model_arguments import check_views, trained_of
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.inference.model import Precision
from vidsemi.inference.score import score_manifest
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.io.store import Place
from vidsemi.models.trained import Trained


@dataclass(frozen=True)
class Scores:
    """A directory of scores.

    Args:
        scores: the directory, a path or the place of an address, for `select`.
        scored: number of examples with scores.
        failed: number of examples that cannot be read; the folder failures has their names and reasons.
        shards: number of files.
        precision: that the network computed in.
        in_float32: convolutions that stayed in float32, because this device gets them wrong in that precision.
    """

    scores: Place
    scored: int
    failed: int
    shards: int
    precision: str
    in_float32: tuple[str, ...] = ()


def score(
    model: Model | PathArgument,
    manifest: Manifest | PathArgument,
    output: PathArgument,
    *,
    root: PathArgument | None = None,
    views: int = 10,
    crops: int = 1,
    per_example: int = 10,
    shard_size: int = 1000,
    precision: Precision | Literal["auto"] = "auto",
    decoder: Decoder = "pyav",
    retry_failures: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    seconds_per_file: float = 600,
    clips_per_forward: int | None = None,
    engine: Literal["local", "ray"] = "local",
    actors: int | None = None,
    cpus_per_actor: int = 1,
    gpus_per_actor: float | None = None,
    progress: ShowProgress = None,
) -> Scores:
    """Score every example of a manifest, and store its highest-scoring classes.

    Any number of processes, on any number of machines, may call this with the same arguments and output at the same
    time: they share the work. A call after a killed one resumes with the files that are left.

    Args:
        model: a network, or its weights file.
        manifest: the examples, or the file of the manifest.
        output: directory for the scores, or an address such as s3://bucket/scores.
        root: folder that the paths in a manifest's file are relative to, by default its own.
        views: clips per video, evenly spread, whose softmax scores are averaged.
        crops: per clip: 1 (the center), or 10.
        per_example: number of classes stored per example (P).
        shard_size: examples per file; with tars, as many as fit.
        precision: of the network; "auto" is the fastest of the device.
        decoder: of videos that it is known to decode correctly; PyAV reads the others.
        retry_failures: read failed examples again whose path or error contains this text (* and ? are wildcards; all
            if it is empty).
        device: "cpu", "cuda", "cuda:1", …; "auto" is the one where the model is, or a GPU if that is the CPU.
        workers: processes that decode files; by default one per core. With 0 this process decodes.
        seconds_per_file: time limit for decoding a file.
        clips_per_forward: batch size; by default 10 on a CPU, else 64.
        engine: "local" scores in this process; "ray" keeps workers on a Ray cluster, which need the model as a file.
        actors: number of workers that Ray keeps alive; by default as many as the cluster has room for.
        cpus_per_actor: cores that Ray reserves for each.
        gpus_per_actor: GPUs that Ray reserves for each; by default 1 if a node has any.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the directory and counts, of all processes and calls together.

    Raises:
        UserError: the output has scores of other weights, examples or arguments, no example can be read, or an argument
            is wrong.
    """
    runtime = runtime_of(
        device,
        workers,
        seconds_per_file,
        clips_per_forward,
        engine=engine,
        actors=actors,
        cpus_per_actor=cpus_per_actor,
        gpus_per_actor=gpus_per_actor,
    )
    folder = place_of("output", output)
    check_views(views, crops)
    check_count("per_example", per_example)
    check_count("shard_size", shard_size, 10**9)
    if precision != "auto" and precision not in get_args(Precision):
        raise UserError("options.invalid", f"precision is {precision!r}; choose auto, {', '.join(get_args(Precision))}")
    with show_progress(progress):
        examples = manifest_of(manifest, root)
        trained: Trained | Path
        if runtime.engine == "ray" and not isinstance(model, Model):  # its workers load the network
            trained = path_of("model", model)
        else:
            trained, runtime = trained_of(model, decoder, runtime)
        metrics = score_manifest(
            folder,
            weights=trained,
            manifest=examples,
            views=views,
            crops=crops,
            decoder=decoder,
            per_example=per_example,
            shard_size=shard_size,
            precision=precision,
            runtime=runtime,
            title="score",
            retry_failures=retry_failures,
        )
    return Scores(folder, **{**metrics, "in_float32": tuple(metrics.get("in_float32", ()))})
