"""A network over a corpus: one softmax vector a video."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vidsemi.config import Machine
from vidsemi.corpus.manifest import Manifest
from vidsemi.engine.machine import pick_device, worker_count
from vidsemi.engine.normalize import normalize
from vidsemi.errors import DecodeError, UserError
from vidsemi.media.backends import check_decoder
from vidsemi.media.pool import read_all
from vidsemi.media.transforms import InputSpec
from vidsemi.media.views import ViewReader


@dataclass(frozen=True)
class VideoScore:
    """One example's scores.

    Attributes:
        example_id: the row of the manifest.
        probabilities: (classes,) float32, the mean over views of each view's softmax; None if it cannot be read.
        error: the reason then.
    """

    example_id: int
    probabilities: np.ndarray | None
    error: str | None = None


def score_videos(
    network: nn.Module, manifest: Manifest, reader: ViewReader, shards: Sequence[Sequence[int]], machine: Machine
) -> Generator[VideoScore, None, None]:
    """Score examples in the order in which the shards name them; close the iterator to end it early.

    Views of several videos share a forward pass; no pass has more than `machine.clips_per_forward` clips, or clips of
    two shards, so that a shard's scores do not depend on which others are scored with it. The video's score is the
    mean of its views' softmax in float32, never the softmax of a mean of logits.

    Yields:
        One `VideoScore` an example, also for those that cannot be read.

    Raises:
        UserError: the network gives scores that are not finite, or the decoder is not installed.
    """
    check_decoder(reader.spec.decoder)
    device = pick_device(machine)
    network.to(device).eval()
    rows = (manifest.row(example_id) for shard in shards for example_id in shard)
    with closing(read_all(reader, rows, workers=worker_count(machine), seconds=machine.seconds_per_file)) as ready:
        for shard in shards:
            waiting: dict[int, np.ndarray | DecodeError] = {}
            clips = 0
            for example_id in shard:
                views = waiting[example_id] = next(ready)
                clips += 0 if isinstance(views, DecodeError) else len(views)
                if clips >= machine.clips_per_forward:
                    yield from _score(network, waiting, reader.spec, machine.clips_per_forward, device)
                    waiting, clips = {}, 0
            yield from _score(network, waiting, reader.spec, machine.clips_per_forward, device)


@torch.inference_mode()
def _score(
    network: nn.Module,
    videos: dict[int, np.ndarray | DecodeError],
    spec: InputSpec,
    clips_per_forward: int,
    device: torch.device,
) -> list[VideoScore]:
    """Scores of a few examples, in their order, from (V, T, 3, crop, crop) uint8 views or why there are none."""
    readable = [torch.from_numpy(views) for views in videos.values() if not isinstance(views, DecodeError)]
    means: Iterator[np.ndarray] = iter(())
    if readable:
        softmax = [
            network(normalize(part.to(device), spec)).float().softmax(dim=1)
            for part in torch.cat(readable).split(clips_per_forward)
        ]
        views = torch.cat(softmax).unflatten(0, (len(readable), -1))
        if not views.isfinite().all():
            raise UserError(f"the network's scores are not finite, first near example {min(videos)}: bad weights?")
        means = iter(views.mean(dim=1).cpu().numpy())
    return [
        VideoScore(example_id, None, views.reason)
        if isinstance(views, DecodeError)
        else VideoScore(example_id, next(means))
        for example_id, views in videos.items()
    ]
