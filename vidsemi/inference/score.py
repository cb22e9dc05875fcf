"""Scoring: a network and a manifest → a directory of scores, shard by shard.

Any number of workers on any number of machines may score into one directory: they agree on its plan and lease its
shards. The bytes of a shard do not depend on who scores it. A killed job resumes with the shards that are left.
"""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from vidsemi.config import Runtime
from vidsemi.data.class_map import ClassMap
from vidsemi.data.frame_cache import frame_cache
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_source import ManifestSource
from vidsemi.data.shards import shard_ranges
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference, Precision, fastest_precision
from vidsemi.inference.score_directory import FOLDERS, ScoreDirectory, agree_on_plan
from vidsemi.inference.score_job import ScoreJob
from vidsemi.inference.score_worker import ScoreWorker
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json
from vidsemi.io.store import Place, open_store
from vidsemi.models.trained import Trained, open_trained
from vidsemi.runtime.device import pick_device
from vidsemi.runtime.distributed import processes
from vidsemi.runtime.leases import Leases, patience
from vidsemi.runtime.ray_engine import run_on_ray
from vidsemi.selection.score_format import ScoresInfo

logger = logging.getLogger("vidsemi")


def score_manifest(
    folder: Place,
    *,
    weights: Path | Trained,
    manifest: Manifest,
    views: int,
    crops: int = 1,
    per_example: int,
    shard_size: int,
    precision: Precision | Literal["auto"],
    runtime: Runtime,
    title: str,
    retry_failures: str | None = None,
    decoder: Decoder = "pyav",
    class_map: ClassMap | None = None,
) -> dict[str, Any]:
    """Score every example of a manifest, together with all workers that score into the same folder.

    The folder receives plan.json, part-NNNNNN.parquet and failures/part-NNNNNN.parquet. Each example stores its
    `per_example` (P) highest classes, or all if there are fewer. A shard takes `shard_size` examples; of tars, as many
    whole ones as fit. The precision "auto" is the plan's, or the fastest of the device if there is no plan yet. Failed
    examples whose path or error contains `retry_failures` (with the wildcards * and ?; all if empty) are read again.
    With a `class_map` the scores are those of its classes; one without an output is never among the highest. With
    `runtime.engine` "ray" this process scores nothing, and keeps workers on a cluster.

    Returns:
        scored and failed examples, shards, precision; of all workers and calls together. And `in_float32`, the
        convolutions that a worker's device gets wrong in that precision, if there are any.

    Raises:
        UserError: the folder has another plan, or no example can be read.
    """
    job = partial(
        score_shards,
        folder=folder,
        weights=weights,
        views=views,
        crops=crops,
        per_example=per_example,
        shard_size=shard_size,
        precision=precision,
        title=title,
        retry_failures=retry_failures,
        decoder=decoder,
        class_map=class_map,
    )
    if runtime.engine == "ray":
        if isinstance(weights, Trained):
            raise UserError("ray.model_in_memory", "engine ray needs a weights file, which other machines can read")
        metrics = run_on_ray(partial(job, manifest=ManifestSource.of(manifest)), runtime, place=folder, title=title)
    else:
        metrics = job(runtime, manifest=manifest)
    if metrics["failed"] and processes().first:
        message = "%s: %d of %d examples cannot be read; see %s"
        logger.warning(message, title, metrics["failed"], len(manifest), folder / "failures")
    return metrics


def score_shards(
    runtime: Runtime,
    *,
    folder: Place,
    weights: Path | Trained,
    manifest: Manifest | ManifestSource,
    views: int,
    crops: int,
    per_example: int,
    shard_size: int,
    precision: Precision | Literal["auto"],
    title: str,
    retry_failures: str | None,
    decoder: Decoder,
    class_map: ClassMap | None,
) -> dict[str, Any]:
    """Do what one worker does: score free shards until none is left. Arguments and errors are as of `score_manifest`.

    Returns:
        what `score_manifest` returns.
    """
    manifest = manifest.read() if isinstance(manifest, ManifestSource) else manifest
    trained = open_trained(weights, decoder)
    spec = trained.spec
    reader = ViewReader(spec.input, views, crops=crops, cache=frame_cache(runtime.frame_cache))
    device = pick_device(runtime)
    shards = shard_ranges(manifest, shard_size)
    weights_fingerprint, classes, known = trained.fingerprint(), spec.classes, len(spec.classes)
    if class_map is not None:
        weights_fingerprint = fingerprint_json([weights_fingerprint, asdict(class_map)])
        classes, known = class_map.classes, len(class_map.known)
    info = ScoresInfo(
        manifest=manifest.fingerprint,
        weights=weights_fingerprint,
        classes=classes,
        per_example=min(per_example, known),
        views=views,
        frames=spec.input.frames,
        stride=spec.input.stride,
        resize=spec.input.resize if isinstance(spec.input.resize, int) else list(spec.input.resize),
        crop=spec.input.crop,
        crops=crops,
        decoder=spec.input.decoder,
        precision=fastest_precision(device) if precision == "auto" else precision,
        shard_size=shard_size,
        examples=len(manifest),
        shards=len(shards),
    )
    store = open_store(folder)
    info = agree_on_plan(store, info, any_precision=precision == "auto")
    infer = Inference(
        trained.network,
        spec.input,
        device,
        cast(Precision, info.precision),
        class_map=class_map,
        channels_last=runtime.channels_last,
        compile=runtime.compile,
    )
    directory = ScoreDirectory(store, info)
    job = ScoreJob(
        store=store,
        shards=shards,
        title=title,
        folders=FOLDERS,
        directory=directory,
        manifest=manifest,
        infer=infer,
        reader=reader,
        runtime=runtime,
        known=None if class_map is None else class_map.known,
    )
    directory.put_junk_aside()
    if retry_failures is not None:
        done = sorted(directory.done())
        directory.retries.start(((number, directory.failures(number)) for number in done), retry_failures)
    with Leases(store, patience(runtime.seconds_per_file), len(shards)) as leases:
        worker = ScoreWorker(job, leases)
        worker.work()
    directory.clean_up()
    worker.completeness.clean_up()
    failed = worker.completeness.num_failed
    counts = {"scored": len(manifest) - failed, "failed": failed, "shards": len(shards)}
    kept = {"in_float32": infer.in_float32} if infer.in_float32 else {}
    return {**counts, "precision": info.precision, **kept}
