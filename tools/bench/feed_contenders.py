"""How fast clips come to a device: reading, the process that hands them over, and both together, without a network.

`python -m tools.bench.feed_contenders WHAT FRAMES EACH SECONDS FILE…` times one of them. EACH is the number of clips
that training takes from a file at a time; 0 is scoring, which takes the ten test clips. A virtual sink stands in for
the device: a block of memory into which clips are copied, as they are into pinned memory. Reading and the process that
hands clips over are measured in CPU seconds, so that other programs on the machine count for little.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.views import ViewReader, ViewRequest

if TYPE_CHECKING:
    import torch

    from tools.bench.train_contenders import Setting

VIEWS, BATCH, CLASSES = 10, 64, 400
MADE_VIDEOS = 600  # that are handed over in a round of measuring


class MadeViews(ViewReader):
    """Views that cost nothing to read."""

    def __call__(self, request: ViewRequest) -> np.ndarray:
        """(stop - first, T, 3, crop, crop) of zeros."""
        spec = self.spec
        return np.zeros((request.stop - request.first, spec.frames, 3, spec.crop, spec.crop), np.uint8)


class Sink:
    """In the place of a device and its network: clips go into one block of memory, scores of zero come back."""

    def __init__(self, spec: InputSpec):
        import torch

        self.block = torch.zeros((BATCH, spec.frames, 3, spec.crop, spec.crop), dtype=torch.uint8)

    def __call__(self, clips: list[np.ndarray]) -> torch.Tensor:
        """Return scores (N, classes) of arrays (…, T, 3, crop, crop), N clips together."""
        import torch

        number = sum(map(len, clips))
        torch.cat([torch.from_numpy(some) for some in clips], out=self.block[:number])
        return torch.zeros(number, CLASSES)


def reading(frames: int, each: int, seconds: float, files: list[str]) -> float:
    """Clips per CPU second of one reading process, on one core."""
    import torch

    from tools.bench.train_readers import train_clips
    from vidsemi.data.batch import collate
    from vidsemi.data.manifest import Row

    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    setting = _setting(frames)
    reader, clips = ViewReader(_spec(setting), VIEWS), train_clips(setting, files, max(each, 1))

    def read(number: int) -> int:
        if each:
            return len(collate([clips[(number // len(files), number % len(files), 0)]]))
        row = Row(number, files[number % len(files)])
        return sum(len(reader(request)) for request in reader.requests(row))

    for number in range(len(files)):  # warms up
        read(number)
    done, begin = 0, time.process_time()
    for number in count():
        done += read(number)
        used = time.process_time() - begin
        if used >= seconds and (number + 1) % len(files) == 0:
            return done / used
    raise AssertionError


def host(frames: int, each: int, seconds: float, files: list[str]) -> float:
    """Clips per CPU second of the process that gets clips from a reading process and hands them to the device."""
    spec = _spec(_setting(frames))
    done, used = 0, 0.0
    work = _training_host(frames) if each else _scoring_host(spec)
    while used < seconds:
        begin = time.process_time()
        done += work()
        used += time.process_time() - begin
    return done / used


def _scoring_host(spec: InputSpec) -> Callable[[], int]:
    from vidsemi.data.manifest import Row
    from vidsemi.data.reachable import Rows

    rows = Rows([Row(number, "made.mp4") for number in range(MADE_VIDEOS)])
    return lambda: sum(1 for _ in _scored(MadeViews(spec, VIEWS), rows, workers=1)) * VIEWS


def _training_host(frames: int) -> Callable[[], int]:
    from tools.bench.train_contenders import MemoryClips

    setting = _setting(frames)
    clips = MemoryClips(setting.spec((setting.size, setting.size)), BATCH)
    return lambda: _loaded(clips, MADE_VIDEOS * VIEWS // BATCH * BATCH, workers=1)


def feed(frames: int, each: int, seconds: float, files: list[str]) -> float:
    """Clips per second of all cores, from the files to the sink; the start of the processes is not counted."""
    from tools.bench.train_readers import train_clips
    from vidsemi.data.manifest import Row
    from vidsemi.data.reachable import Rows

    setting = _setting(frames)
    if each:
        return _rate(_batches(train_clips(setting, files, each), sys.maxsize // BATCH * BATCH), seconds, skip=2)
    endless = Rows([Row(number, file) for number, file in enumerate(islice(cycle(files), 1_000_000))])
    scored = (VIEWS for _ in _scored(ViewReader(_spec(setting), VIEWS), endless))
    return _rate(scored, seconds, skip=2 * BATCH // VIEWS)


def _rate(clips: Iterator[int], seconds: float, skip: int) -> float:
    """Clips per second of an endless iterator of numbers of clips, without the first few."""
    for _ in islice(clips, skip):
        pass
    done, begin = 0, time.perf_counter()
    for some in clips:
        done += some
        if (passed := time.perf_counter() - begin) >= seconds:
            clips.close()  # type: ignore[attr-defined]
            return done / passed
    raise AssertionError


def _scored(reader: ViewReader, rows: object, workers: int | None = None) -> Iterator[int]:
    """Score rows with the sink, to their highest classes as in a scoring job; yields once a video."""
    from vidsemi.config import Runtime
    from vidsemi.inference.score_views import read_in_processes, score_videos
    from vidsemi.selection.score_writer import top_classes

    runtime = Runtime(device="cpu", workers=workers)
    read_views = read_in_processes(reader, runtime, BATCH, rows)  # type: ignore[arg-type]
    scores = score_videos(
        Sink(reader.spec),  # type: ignore[arg-type]
        [range(len(rows))],  # type: ignore[arg-type]
        rows.row,  # type: ignore[attr-defined]
        reader,
        read_views=read_views,
        clips_per_forward=BATCH,
    )
    try:
        for score in scores:
            if score.probabilities is not None:
                top_classes(score.probabilities[None], VIEWS)
            yield 1
    finally:
        scores.close()


def _loaded(dataset: object, clips: int, workers: int | None = None) -> int:
    return sum(_batches(dataset, clips, workers))


def _batches(dataset: object, clips: int, workers: int | None = None) -> Iterator[int]:
    """Load batches of a training dataset into the sink; yields the clips of each."""
    from vidsemi.config import Runtime
    from vidsemi.data.loader import Loader
    from vidsemi.data.samplers import EpochSampler, MicroBatchSampler

    each: int = dataset.clips_per_video  # type: ignore[attr-defined]
    order = EpochSampler(np.ones(len(dataset), np.int64), seed=0, start=0, stop=clips // each)  # type: ignore[arg-type]
    batches = MicroBatchSampler(order, step_size=BATCH // each, micro_batches=1, own=range(1))
    block = Sink(dataset.spec).block  # type: ignore[attr-defined]
    with Loader(dataset, batches, Runtime(device="cpu", workers=workers), pin_memory=False) as loader:  # type: ignore[arg-type]
        for batch in loader.take(clips // BATCH):
            block.copy_(batch.pixels)
            yield len(batch)


def _setting(frames: int) -> Setting:
    from tools.bench.train_contenders import Setting

    return Setting("r2plus1d_18", {}, frames, 112, BATCH, "cpu")


def _spec(setting: Setting) -> InputSpec:
    from tools.bench.train_readers import spec_of

    return spec_of(setting)


CONTENDERS: dict[str, Callable[[int, int, float, list[str]], float]] = {"reading": reading, "host": host, "feed": feed}


if __name__ == "__main__":
    what, frames, each, seconds, *files = sys.argv[1:]
    print(json.dumps({"clips_per_second": CONTENDERS[what](int(frames), int(each), float(seconds), files)}))
