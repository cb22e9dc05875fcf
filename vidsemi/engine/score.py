"""A network over a corpus: one softmax vector a video."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vidsemi.config import Machine
from vidsemi.engine.machine import make_loader, pick_device
from vidsemi.errors import UserError
from vidsemi.media.datasets import TestViews, Views
from vidsemi.media.transforms import InputSpec, normalize


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
    network: nn.Module, videos: TestViews, shards: Sequence[Sequence[int]], machine: Machine
) -> Iterator[VideoScore]:
    """Score examples in the order in which the shards name them.

    Views of several videos share a forward pass; no pass has more than `machine.clips_per_forward` clips, or clips of
    two shards, so that a shard's scores do not depend on which others are scored with it. The video's score is the
    mean of its views' softmax in float32, never the softmax of a mean of logits.

    Yields:
        One `VideoScore` an example, also for those that cannot be read.

    Raises:
        UserError: the network gives scores that are not finite.
    """
    device = pick_device(machine)
    network.to(device).eval()
    example_ids = [example_id for shard in shards for example_id in shard]
    ready = iter(make_loader(videos, example_ids, machine, batch_size=None, collate=_as_is))
    for shard in shards:
        waiting: list[Views] = []
        for _ in shard:
            waiting.append(next(ready))
            if sum(len(item.clips) for item in waiting if item.clips is not None) >= machine.clips_per_forward:
                yield from _score(network, waiting, videos.spec, machine.clips_per_forward, device)
                waiting = []
        yield from _score(network, waiting, videos.spec, machine.clips_per_forward, device)


def _as_is(item: Views) -> Views:
    return item


@torch.inference_mode()
def _score(
    network: nn.Module, videos: list[Views], spec: InputSpec, clips_per_forward: int, device: torch.device
) -> list[VideoScore]:
    readable = [video.clips for video in videos if video.clips is not None]
    if not readable:
        return [VideoScore(video.example_id, None, video.error) for video in videos]
    softmax = [
        network(normalize(part.to(device), spec)).float().softmax(dim=1)
        for part in torch.cat(readable).split(clips_per_forward)
    ]
    views = torch.cat(softmax).unflatten(0, (len(readable), -1))
    if not views.isfinite().all():
        raise UserError(f"the network's scores are not finite, first near example {videos[0].example_id}: bad weights?")
    means = iter(views.mean(dim=1).cpu().numpy())
    return [VideoScore(video.example_id, None if video.clips is None else next(means), video.error) for video in videos]
