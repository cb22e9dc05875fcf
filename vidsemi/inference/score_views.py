"""A network over videos: the softmax of every view of every video, with clips of several videos in one forward pass."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import nn

from vidsemi.config import Runtime
from vidsemi.data.class_map import ClassMap
from vidsemi.data.frame_cache import frame_cache
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.reachable import Dataset, Known, nothing_known, read_reachable
from vidsemi.data.views import ViewReader, ViewRequest
from vidsemi.data.worker_pool import PREFETCH
from vidsemi.inference.model import Inference
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.runtime.device import Fetched, clips_per_forward, pick_device, worker_count

Views = np.ndarray | DecodeError  # (some, T, 3, crop, crop) uint8, or why there are none
ReadViews = Callable[[Iterable[ViewRequest]], Generator[Views, None, None]]


logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class VideoScore:
    """Scores of one example."""

    example_id: int
    views: np.ndarray | None  # (V, classes) float32, the softmax of each view; None if the example cannot be read
    error: str | None = None  # why it cannot be read

    @property
    def probabilities(self) -> np.ndarray | None:
        """(classes,) float32: the mean of the softmax over the views, never the softmax of a mean of logits."""
        return None if self.views is None else self.views.mean(axis=0)


@dataclass
class Clock:
    """Measures how long scoring waits for decoded videos."""

    waited: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """Share of the time since the start that was spent waiting, 0 to 1."""
        return self.waited / max(time.monotonic() - self.began, 1e-9)


def read_in_processes(
    reader: ViewReader, runtime: Runtime, clips_per_forward: int, dataset: Dataset, known: Known = nothing_known
) -> ReadViews:
    """Return a function that decodes in worker processes, ahead by four files per worker or two forward passes.

    The first example of the dataset tells how many videos fill a forward pass. For `known` see `read_reachable`.
    """
    workers = worker_count(runtime)
    videos = math.ceil(clips_per_forward / min(next(reader.requests(dataset.row(0))).of, reader.most))
    ahead = max(PREFETCH * workers, 2 * videos)
    seconds = runtime.seconds_per_file
    return partial(
        read_reachable, reader, dataset=dataset, workers=workers, seconds=seconds, prefetch=ahead, known=known
    )


def score_videos(
    infer: Inference,
    shards: Iterable[Sequence[int]],
    row: Callable[[int], Row],
    reader: ViewReader,
    *,
    read_views: ReadViews,
    clips_per_forward: int,
    clock: Clock | None = None,
) -> Generator[VideoScore, None, None]:
    """Score examples in the order of the shards; close the iterator to end early.

    A forward pass has clips of several videos but never of two shards, so that the scores of a shard do not depend on
    which others are scored with it, or by whom.

    Args:
        infer: the network.
        shards: example ids; the next shard is requested once there is room to read its videos.
        row: returns the manifest row of an example.
        reader: splits an example into requests.
        read_views: reads requests, in order.
        clips_per_forward: clips per forward pass; bounds the memory whatever the videos and the number of views.
        clock: records the time spent waiting for videos.

    Yields:
        One `VideoScore` per example, also for unreadable ones.

    Raises:
        UserError: a score is not finite, or the device is out of memory.
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
    batcher = _Batcher(infer, clips_per_forward)
    with closing(read_views(requests())) as ready:
        while True:
            before = time.monotonic()
            views = next(ready, None)
            clock.waited += time.monotonic() - before
            if views is None:
                return
            request, shard_ends = asked.popleft()
            batcher.add(request, views)
            if shard_ends:
                batcher.flush()
            yield from batcher.scored()


def score_examples(
    network: nn.Module,
    spec: InputSpec,
    examples: Sequence[int],
    dataset: Dataset,
    *,
    views: int,
    crops: int = 1,
    runtime: Runtime,
    class_map: ClassMap | None = None,
) -> Generator[VideoScore, None, None]:
    """Score examples of a dataset, given by id, in float32 and in order, for evaluation and prediction."""
    if not examples:
        return
    reader, device = ViewReader(spec, views, crops=crops, cache=frame_cache(runtime.frame_cache)), pick_device(runtime)
    most = clips_per_forward(runtime, device)
    read_views = read_in_processes(reader, runtime, most, dataset)
    infer = Inference(network, spec, device, class_map=class_map, channels_last=runtime.channels_last)
    yield from score_videos(infer, [examples], dataset.row, reader, read_views=read_views, clips_per_forward=most)


@dataclass
class _Video:
    example_id: int
    missing: int  # views without scores
    read: bool = False  # all views were read
    scores: list[np.ndarray] = field(default_factory=list)
    error: str | None = None


class _Batcher:
    """Batches clips of several videos into forward passes, and returns their scores by video.

    The scores of a pass are on their way to the CPU before the next pass is started, and waited for after that, so that
    a GPU never waits.
    """

    def __init__(self, infer: Inference, most: int):
        self._infer, self._most = infer, most
        self._videos: deque[_Video] = deque()
        self._clips: deque[tuple[_Video, np.ndarray]] = deque()
        self._running: deque[tuple[Fetched, list[tuple[_Video, int]]]] = deque()

    def add(self, request: ViewRequest, views: Views) -> None:
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

    def flush(self) -> None:
        while self._clips:
            self._start()
        while self._running:
            self._fetch()

    def scored(self) -> Iterator[VideoScore]:
        """Yield finished videos in order, up to the first unfinished one."""
        while self._videos and self._videos[0].read:
            if self._videos[0].missing and self._videos[0].error is None:
                return
            video = self._videos.popleft()
            views = np.concatenate(video.scores) if video.error is None else None
            yield VideoScore(video.example_id, views, video.error)

    def _start(self) -> None:
        """Start a forward pass with as many clips as fit; passes are halved when the device is out of memory."""
        room, clips, owners = self._most, [], []
        while room and self._clips:
            video, own = self._clips.popleft()
            clips.append(own[:room])
            owners.append((video, len(clips[-1])))
            if len(own) > room:
                self._clips.appendleft((video, own[room:]))
            room -= len(clips[-1])
        try:
            self._running.append((Fetched(self._infer(clips)), owners))
        except UserError as error:
            count = sum(map(len, clips))
            if error.code != "device.out_of_memory" or count == 1:
                raise
            self._most = math.ceil(count / 2)
            logger.warning("%s; continuing with clips_per_forward: %d", error, self._most)
            self._clips.extendleft(zip([video for video, _ in reversed(owners)], reversed(clips), strict=True))
        if len(self._running) > 1:
            self._fetch()

    def _fetch(self) -> None:
        """Fetch the scores of the earliest pass and give them to their videos."""
        fetched, owners = self._running.popleft()
        scores = fetched.tensor().numpy()
        if not np.isfinite(scores).all():
            near = owners[0][0].example_id
            raise UserError(
                "scores.not_finite", f"the network's scores near example {near} are not finite; check its weights"
            )
        for (video, _), own in zip(owners, np.split(scores, np.cumsum([n for _, n in owners])[:-1]), strict=True):
            video.scores.append(own)
            video.missing -= len(own)
