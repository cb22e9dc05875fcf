"""The scoring stage: a teacher over a corpus, shard by shard, by any number of workers that share a directory.

A shard that has its part and its failures is not scored again, unless they do not hold each of its examples once. What
it takes to agree is in the directory: the plan, the claims, and the parts themselves.
"""

import logging
from pathlib import Path
from typing import Any, Literal

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.data.shards import cut_into_shards
from vidsemi.data.views import ViewReader
from vidsemi.inference.leases import Claims
from vidsemi.inference.model import Inference, fastest_precision
from vidsemi.inference.score_plan import agree_on_plan
from vidsemi.inference.worker import ScoreWorker
from vidsemi.io.files import fingerprint_file
from vidsemi.models import weights_file
from vidsemi.runtime.device import pick_device
from vidsemi.runtime.distributed import processes
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import count_failures

logger = logging.getLogger("vidsemi")


def score_manifest(
    folder: Path,
    *,
    weights: Path,
    manifest: Manifest,
    views: int,
    crops: int = 1,
    per_example: int,
    shard_size: int,
    precision: Literal["auto", "float32", "bfloat16"],
    runtime: Runtime,
    title: str,
) -> dict[str, Any]:
    """Score every example of a manifest into `folder` (contract 4.3), together with whoever else does the same.

    Args:
        folder: gets part-NNNNNN.parquet and failures/part-NNNNNN.parquet.
        weights: of the network that scores.
        manifest: what is scored.
        views: clips a video; an image has one.
        crops: of each clip: 1, the centre, or 10.
        per_example: classes stored an example, P; all of them where the network has fewer.
        shard_size: examples a part; of tars, as many whole ones as fit.
        precision: of the network; auto takes what the directory was begun with, else the fastest of the device.
        runtime: what to run on.
        title: for the progress bar.

    Returns:
        Figures: examples scored and failed, parts; of all calls and workers together.

    Raises:
        UserError: the folder holds parts that were made from something else, or no example can be read.
    """
    network, spec = weights_file.load_weights(weights)
    reader = ViewReader(spec.input, views, crops=crops)
    device = pick_device(runtime)
    shards = cut_into_shards(manifest, shard_size)
    info = ScoresInfo(
        manifest=manifest.fingerprint,
        weights=fingerprint_file(weights),
        classes=spec.classes,
        per_example=min(per_example, len(spec.classes)),
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
    info = agree_on_plan(folder, info, any_precision=precision == "auto")
    infer = Inference(network, spec.input, device, "bfloat16" if info.precision == "bfloat16" else "float32")
    with Claims(folder / "claims", 2 * runtime.seconds_per_file + 600) as claims:
        ScoreWorker(folder, manifest, shards, info, infer, reader, runtime, claims, title).work()
    failed = count_failures(folder)
    if failed and processes().first:
        logger.warning(
            "%s: %d of %d examples cannot be read; see %s", title, failed, len(manifest), folder / "failures"
        )
    return {"scored": len(manifest) - failed, "failed": failed, "shards": len(shards), "precision": info.precision}
