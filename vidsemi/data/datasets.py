"""What training reads. It holds paths only, so that any number of worker processes can carry it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from vidsemi.data.clip_sampling import ChooseFrames, random_clip_indices
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.read import is_image, read_frames, read_whole_image
from vidsemi.data.transforms import InputSpec, Window, cut_and_scale, random_box, random_window
from vidsemi.io.errors import DecodeError

MAX_SUBSTITUTES = 50  # files in a row that do not decode before training gives up on the corpus
AT_ONCE = 100_000  # keys of a pass that are made at a time


@dataclass(frozen=True)
class Targets:
    """Which classes teach an example, and how much: the rows of a sparse (N, classes) matrix that each sum to 1.

    Attributes:
        offsets: (N + 1,) int64; example i's classes are `labels[offsets[i]:offsets[i + 1]]`, each with weight 1/k.
        labels: int64 class indices.
        classes: number of classes.
    """

    offsets: np.ndarray
    labels: np.ndarray
    classes: int

    @classmethod
    def single(cls, labels: np.ndarray, classes: int) -> "Targets":
        """One class an example: labels (N,)."""
        return cls(np.arange(len(labels) + 1), labels, classes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dense(self, index: int) -> np.ndarray:
        """Example `index` as a distribution over the classes, (classes,) float32."""
        own = self.labels[self.offsets[index] : self.offsets[index + 1]]
        target = np.zeros(self.classes, np.float32)
        target[own] = 1 / len(own)
        return target


@dataclass(frozen=True)
class TrainItem:
    """The training clips of one video.

    Attributes:
        frames: (clips a video, T, 3, H, W) uint8; None if too many files in a row do not decode.
        windows: what is to be cut from each clip. The device does that, as it normalises.
        target: (classes,) float32, sums to 1.
        example_id: the example that was read.
        unreadable: example ids that were tried before it and do not decode.
        error: the last one's reason where there are no clips.
    """

    frames: torch.Tensor | None
    windows: list[Window]
    target: torch.Tensor
    example_id: int
    unreadable: list[int]
    error: str | None = None


class TrainClips(Dataset):
    """Random clips with their targets.

    Items are asked for by (pass, index, copy), and depend on that and the seed only.

    Args:
        manifest: where the examples are.
        examples: (N,) int64 example ids, the ones to train on.
        targets: their N targets.
        spec: what the network takes.
        hflip_prob: probability of a horizontal flip.
        random_resized_crop_scale: smallest and largest share of a frame in a clip; None: a square crop.
        seed: of all randomness.
        clips_per_video: clips drawn from a video at a time, in one pass over it.
    """

    def __init__(
        self,
        manifest: Manifest,
        examples: np.ndarray,
        targets: Targets,
        spec: InputSpec,
        *,
        hflip_prob: float,
        seed: int,
        random_resized_crop_scale: tuple[float, float] | None = None,
        clips_per_video: int = 1,
    ):
        self.manifest, self.examples, self.targets = manifest, examples, targets
        self.spec, self.hflip_prob, self.random_resized_crop_scale = spec, hflip_prob, random_resized_crop_scale
        self.seed, self.clips_per_video = seed, clips_per_video

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: tuple[int, int, int]) -> TrainItem:
        """The clips for (pass, index, copy); where a file does not decode, the next example's takes its place."""
        pass_number, first, copy = key
        unreadable: list[int] = []
        for index in range(first, first + min(MAX_SUBSTITUTES, len(self))):
            example_id = int(self.examples[index % len(self)])
            target = torch.from_numpy(self.targets.dense(index % len(self)))
            try:
                return TrainItem(*self._read(pass_number, example_id, copy), target, example_id, unreadable)
            except DecodeError as error:
                unreadable.append(example_id)
                last = str(error)
        return TrainItem(None, [], target, example_id, unreadable, last)

    def _read(self, pass_number: int, example_id: int, copy: int) -> tuple[torch.Tensor, list[Window]]:
        spec, key = self.spec, (self.seed, pass_number, example_id)

        def choose(n: int) -> np.ndarray:
            rng = np.random.default_rng((*key, 2 * copy))
            clips = [random_clip_indices(n, spec.frames, spec.stride, rng) for _ in range(self.clips_per_video)]
            return np.concatenate(clips)

        row = self.manifest.row(example_id)
        rng = np.random.default_rng((*key, 2 * copy + 1))
        if self.random_resized_crop_scale is not None:
            frames = self._cut(row, choose, rng)
        else:
            frames = read_frames(row, choose, size=spec.resize, exact=False, decoder=spec.decoder)
        height, width = frames.shape[-2:]
        windows = [random_window(height, width, spec.crop, self.hflip_prob, rng) for _ in range(self.clips_per_video)]
        return torch.from_numpy(frames).view(self.clips_per_video, spec.frames, *frames.shape[1:]), windows

    def _cut(self, row: Row, choose: ChooseFrames, rng: np.random.Generator) -> np.ndarray:
        """A box of its own from each clip, (clips × T, 3, crop, crop); from all the pixels of an image."""
        spec, many, area = self.spec, self.clips_per_video, self.random_resized_crop_scale
        assert area is not None
        if is_image(row):
            clips = [read_whole_image(row)] * many
        else:
            frames = read_frames(row, choose, size=spec.resize, exact=False, decoder=spec.decoder)
            clips = np.split(frames, many)
        height, width = clips[0].shape[-2:]
        cut = [cut_and_scale(clip, random_box(height, width, area, rng), spec.crop) for clip in clips]
        return np.concatenate([np.repeat(clip, spec.frames // len(clip), axis=0) for clip in cut])


class ExampleOrder(Sampler):
    """The keys of `TrainClips` from position `start` to `stop`: pass after pass, each a permutation of (seed, pass).

    Args:
        copies: (N,) integers; how many times each of N examples stands in a pass, each time with draws of its own.
        seed: of the order.
        start: position of the first key, counted over all passes.
        stop: position after the last.
    """

    def __init__(self, copies: np.ndarray, *, seed: int, start: int, stop: int):
        self.copies, self.seed, self.start, self.stop = copies, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        ends = np.cumsum(self.copies)
        position = self.start
        while position < self.stop:
            pass_number, offset = divmod(position, int(ends[-1]))
            order = np.random.default_rng((self.seed, pass_number)).permutation(ends[-1])
            for first in range(offset, min(len(order), offset + self.stop - position), AT_ONCE):
                places = order[first : min(first + AT_ONCE, offset + self.stop - position)]
                index = np.searchsorted(ends, places, side="right")
                copy = places - (ends[index] - self.copies[index])
                yield from zip(repeat(pass_number), index.tolist(), copy.tolist(), strict=False)
            position += len(order) - offset


class PartOrder(Sampler):
    """The keys of each part of each step that a process takes, in turn.

    A step is so many keys in a row, the last one perhaps fewer, and part i of p those from i/p to (i + 1)/p of it:
    which example is in which part of which step does not depend on the number of processes.

    Args:
        order: of the keys.
        step: keys a step.
        parts: of a step.
        own: numbers of the parts that are this process's.
    """

    def __init__(self, order: ExampleOrder, *, step: int, parts: int, own: range):
        self.order, self.step, self.parts, self.own = order, step, parts, own

    def __len__(self) -> int:
        return -(-len(self.order) // self.step) * len(self.own)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        keys = iter(self.order)
        while step := list(islice(keys, self.step)):
            for part in self.own:
                yield step[part_start(len(step), part, self.parts) : part_start(len(step), part + 1, self.parts)]


def part_start(step: int, part: int, parts: int) -> int:
    """How many of a step's keys come before a part."""
    return step * part // parts
