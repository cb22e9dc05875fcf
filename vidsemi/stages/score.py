"""The scoring stage: a teacher over U, shard by shard. A part that exists is whole and is not made again."""

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.config import Machine
from vidsemi.corpus.manifest import Manifest
from vidsemi.engine import checkpoint
from vidsemi.engine.score import VideoScore, score_videos
from vidsemi.errors import UserError
from vidsemi.files import fingerprint_file
from vidsemi.media.views import ViewReader
from vidsemi.progress import progress_bar
from vidsemi.selection.scores import ScoresInfo, count_failures, part_name, read_info, write_failures, write_part

logger = logging.getLogger("vidsemi")


def score_stage(
    folder: Path,
    *,
    weights: Path,
    manifest: Manifest,
    views: int,
    per_example: int,
    shard_size: int,
    machine: Machine,
    title: str,
) -> dict[str, Any]:
    """Score every example of a manifest into `folder` (contract 4.3).

    Args:
        folder: gets part-NNNNNN.parquet and failures/part-NNNNNN.parquet.
        weights: of the network that scores.
        manifest: what is scored.
        views: clips a video.
        per_example: classes stored an example, P; all of them where the network has fewer.
        shard_size: examples a part.
        machine: what to run on.
        title: for the progress bar.

    Returns:
        Figures: examples scored and failed, parts; of all calls together.

    Raises:
        UserError: the folder holds parts that were made from something else, or no example can be read.
    """
    network, spec = checkpoint.load_weights(weights)
    info = ScoresInfo(
        manifest=manifest.fingerprint,
        weights=fingerprint_file(weights),
        classes=spec.classes,
        per_example=min(per_example, len(spec.classes)),
        views=views,
        frames=spec.input.frames,
        stride=spec.input.stride,
        resize=list(spec.input.resize),
        crop=spec.input.crop,
        decoder=spec.input.decoder,
        precision="float32",
        shard_size=shard_size,
        examples=len(manifest),
    )
    for file in folder.glob("part-*.parquet"):
        if name := info.difference(read_info(file)):
            raise UserError(f"{file} was scored with another '{name}'; choose another output directory")
    shards = [range(first, min(first + shard_size, len(manifest))) for first in range(0, len(manifest), shard_size)]
    to_do = [number for number in range(len(shards)) if not (folder / part_name(number)).exists()]
    left = [shards[number] for number in to_do]
    with (
        closing(score_videos(network, manifest, ViewReader(spec.input, views), left, machine)) as scores,
        progress_bar(len(manifest), "video", title, len(manifest) - sum(map(len, left))) as bar,
    ):
        for number in to_do:
            shard = []
            for _ in shards[number]:
                shard.append(next(scores))
                bar.update()
            _write(folder, number, shard, manifest, info)
    failed = count_failures(folder)
    if failed:
        logger.warning("%s: %d of %d videos cannot be read; see %s", title, failed, len(manifest), folder / "failures")
    if failed == len(manifest):
        raise UserError(
            f"not one of the {len(manifest)} examples of {manifest.file} can be read; see {folder / 'failures'}"
        )
    return {"scored": len(manifest) - failed, "failed": failed, "parts": len(shards)}


def _write(folder: Path, number: int, shard: list[VideoScore], manifest: Manifest, info: ScoresInfo) -> None:
    """Write a shard: its failures first, so that a part that exists has both."""
    good = [(score.example_id, score.probabilities) for score in shard if score.probabilities is not None]
    bad = [
        (score.example_id, manifest.row(score.example_id).path, score.error or "")
        for score in shard
        if score.probabilities is None
    ]
    write_failures(folder, number, bad)
    probabilities = np.stack([row for _, row in good]) if good else np.zeros((0, len(info.classes)), np.float32)
    write_part(folder, number, np.array([example_id for example_id, _ in good], np.int64), probabilities, info)
