"""A network over a corpus: the softmax of every view of every video."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn

from vidsemi.config import Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.views import ViewReader, ViewRequest
from vidsemi.data.worker_pool import PREFETCH, read_all
from vidsemi.inference.model import Inference
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.runtime.device import clips_per_forward, pick_device, worker_count

Views = np.ndarray | DecodeError  # (some, T, 3, crop, crop) uint8, or why there are none
Reading = Callable[[Iterable[ViewRequest]], Generator[Views, None, None]]


@dataclass(frozen=True)
class VideoScore:
    """One example's scores.

    Attributes:
        example_id: the row of the manifest.
        views: (V, classes) float32, the softmax of each view; None if the example cannot be read.
        error: the reason then.
    """

    example_id: int
    views: np.ndarray | None
    error: str | None = None

    @property
    def probabilities(self) -> np.ndarray | None:
        """(classes,) float32: the mean over the views, which is never the softmax of a mean of logits."""
        return None if self.views is None else self.views.mean(axis=0)


@dataclass
class Clock:
    """How long scoring has waited for decoded videos, of the time since it began."""

    waited: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.waited / max(time.monotonic() - self.began, 1e-9)


def reading_in_processes(reader: ViewReader, runtime: Runtime, most: int, sample: Row) -> Reading:
    """Decoding in worker processes, ahead of the network by four files a worker, or two passes of it.

    Args:
        reader: how views are read.
        runtime: what to run on.
        most: clips in a pass.
        sample: an example like most others, by which it is known how many make a pass.
    """
    workers = worker_count(runtime)
    videos = -(-most // min(next(reader.requests(sample)).of, reader.most))
    return partial(
        read_all,
        reader,
        workers=workers,
        seconds=runtime.seconds_per_file,
        prefetch=max(PREFETCH * workers, 2 * videos),
    )


def score_videos(
    infer: Inference,
    shards: Iterable[Sequence[int]],
    row: Callable[[int], Row],
    reader: ViewReader,
    *,
    reading: Reading,
    clips_per_forward: int,
    clock: Clock | None = None,
) -> Generator[VideoScore, None, None]:
    """Score examples in the order in which the shards name them; close the iterator to end it early.

    Clips of several videos share a pass through the network. No pass has clips of two shards, so that a shard's scores
    do not depend on which others are scored with it, or by whom.

    Args:
        infer: the network.
        shards: example ids; the next shard is asked for when there is room to read its videos.
        row: what it takes to read an example.
        reader: how its views are read.
        reading: where they are read.
        clips_per_forward: clips in a pass; it bounds the memory, whatever the videos and the number of views.
        clock: notes the time that is spent waiting for videos.

    Yields:
        One `VideoScore` an example, also for those that cannot be read.

    Raises:
        UserError: the network gives scores that are not finite.
    """
    asked: deque[tuple[ViewRequest, bool]] = deque()

    def requests() -> Iterator[ViewRequest]:
        for shard in shards:
            for place, example_id in enumerate(shard):
                for request in reader.requests(row(example_id)):
                    last = place == len(shard) - 1 and request.stop == request.of
                    asked.append((request, last))
                    yield request

    clock = clock or Clock()
    passes = _Passes(infer, clips_per_forward)
    with closing(reading(requests())) as ready:
        while True:
            before = time.monotonic()
            views = next(ready, None)
            clock.waited += time.monotonic() - before
            if views is None:
                return
            request, shard_ends = asked.popleft()
            passes.add(request, views)
            if shard_ends:
                passes.finish()
            yield from passes.scored()


def score_rows(
    network: nn.Module,
    spec: InputSpec,
    examples: Sequence[int],
    row: Callable[[int], Row],
    *,
    views: int,
    crops: int = 1,
    runtime: Runtime,
) -> Generator[VideoScore, None, None]:
    """Score examples in float32, in their order, for evaluation and prediction.

    Args:
        network: what scores them.
        spec: what it takes in.
        examples: their ids; there may be none.
        row: what it takes to read one.
        views: clips a video; an image has one.
        crops: of each clip: 1, the centre, or 10.
        runtime: what to run on.
    """
    if not examples:
        return
    reader, device = ViewReader(spec, views, crops=crops), pick_device(runtime)
    most = clips_per_forward(runtime, device)
    reading = reading_in_processes(reader, runtime, most, row(examples[0]))
    infer = Inference(network, spec, device)
    yield from score_videos(infer, [examples], row, reader, reading=reading, clips_per_forward=most)


@dataclass
class _Video:
    """An example of which not everything is known yet."""

    example_id: int
    missing: int  # views
    read: bool = False  # to the end
    parts: list[np.ndarray] = field(default_factory=list)
    error: str | None = None


class _Passes:
    """Puts clips of several videos through the network together, and their scores back together by video.

    The scores of a pass are fetched after the next one is begun, so that a GPU is not left waiting.
    """

    def __init__(self, infer: Inference, most: int):
        self._infer, self._most = infer, most
        self._videos: deque[_Video] = deque()
        self._clips: deque[tuple[_Video, np.ndarray]] = deque()
        self._running: deque[tuple[torch.Tensor, list[tuple[_Video, int]]]] = deque()

    def add(self, request: ViewRequest, views: Views) -> None:
        """Take what was read of an example."""
        if request.first == 0:
            self._videos.append(_Video(request.row.example_id, request.of))
        video = self._videos[-1]
        if isinstance(views, DecodeError):
            video.error = views.reason
        elif video.error is None:
            self._clips.append((video, views))
        video.read = request.stop == request.of
        while sum(len(clips) for _, clips in self._clips) >= self._most:
            self._start()

    def finish(self) -> None:
        """Score all that was added."""
        while self._clips:
            self._start()
        while self._running:
            self._fetch()

    def scored(self) -> Iterator[VideoScore]:
        """The videos of which all is known, up to the first of which it is not."""
        while self._videos and self._videos[0].read:
            if self._videos[0].missing and self._videos[0].error is None:
                return
            video = self._videos.popleft()
            views = np.concatenate(video.parts) if video.error is None else None
            yield VideoScore(video.example_id, views, video.error)

    def _start(self) -> None:
        """Begin a pass with as many clips as fit."""
        room, clips, owners = self._most, [], []
        while room and self._clips:
            video, own = self._clips.popleft()
            clips.append(own[:room])
            owners.append((video, len(clips[-1])))
            if len(own) > room:
                self._clips.appendleft((video, own[room:]))
            room -= len(clips[-1])
        self._running.append((self._infer(clips), owners))
        if len(self._running) > 1:
            self._fetch()

    def _fetch(self) -> None:
        """Give the scores of the earliest pass to its videos."""
        softmax, owners = self._running.popleft()
        scores = softmax.cpu().numpy()
        if not np.isfinite(scores).all():
            raise UserError(
                f"the network's scores are not finite, first near example {owners[0][0].example_id}: bad weights?"
            )
        for (video, _), part in zip(owners, np.split(scores, np.cumsum([n for _, n in owners])[:-1]), strict=True):
            video.parts.append(part)
            video.missing -= len(part)
