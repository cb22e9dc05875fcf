"""Random training clips of videos or images with their targets.

It holds paths only, so that any number of worker processes can carry it.
"""

import time
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from vidsemi.data.clip_sampling import random_clip_indices
from vidsemi.data.frame_cache import FrameCache
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest
from vidsemi.data.reachable import Reachability
from vidsemi.data.read import is_image, read_frames, read_whole_image
from vidsemi.data.targets import Targets
from vidsemi.data.transforms import Window, crop_and_resize, random_box, random_window
from vidsemi.data.watch import Watch
from vidsemi.io.errors import DecodeError, UserError

Key = tuple[int, int, int]  # (epoch, index, repeat)
Clips = tuple[torch.Tensor, list[Window]]  # of one video, as a `TrainItem` has them

SAME_BATCH = 5.0  # seconds after a disk stayed away in which other items need not wait for it as long
MAX_SUBSTITUTES = 50  # files in a row that do not decode before training gives up


@dataclass(frozen=True)
class TrainItem:
    """The training clips of one video."""

    frames: torch.Tensor | None  # (clips per video, T, 3, H, W) uint8; None if too many files in a row do not decode
    windows: list[Window]  # the crop of each clip, which `collate` applies
    target: torch.Tensor  # (classes,) float32, sums to 1
    example_id: int  # the example that was read
    unreadable: list[int]  # example ids that were tried before it and do not decode
    error: UserError | None = None  # why there are no clips


@dataclass(eq=False)
class TrainClips(Dataset[TrainItem]):
    """Random clips with their targets, as the trainer reads them: uint8, not cropped yet.

    A key is (epoch, index, repeat), as `EpochSampler` yields it. An item depends on its key and the seed only.
    """

    manifest: Manifest
    examples: np.ndarray  # (N,) int64 ids of the examples to train on
    targets: Targets  # N of them
    spec: InputSpec
    _: KW_ONLY
    hflip_prob: float
    seed: int
    random_resized_crop_scale: tuple[float, float] | None = None  # share of a frame's area; None: fixed-size crops
    clips_per_video: int = 1  # that are drawn at a time
    cache: FrameCache | None = None
    watch: Watch | None = None  # where to note what is read
    too_slow: set[int] = field(default_factory=set)  # example ids that are not to be read again
    seconds_per_file: float = 600

    def __post_init__(self) -> None:
        """Prepare to tell missing files from missing disks."""
        self._disk = Reachability(self.manifest)
        self.stopped: tuple[UserError | None, float] = None, 0.0  # the last error of a disk or store, and when

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: Key) -> TrainItem:
        """The clips of a key; an example that does not decode is replaced by the next one.

        While a disk or server is away, this waits.
        """
        epoch, first, repeat = key
        stopped, since = self.stopped
        if stopped is not None and time.monotonic() - since < SAME_BATCH:
            return TrainItem(None, [], torch.from_numpy(self.targets.dense(first % len(self))), -1, [], stopped)
        unreadable: list[int] = []
        for index in range(first, first + min(MAX_SUBSTITUTES, len(self))):
            example_id = int(self.examples[index % len(self)])
            target = torch.from_numpy(self.targets.dense(index % len(self)))
            try:
                clips = self._read_reachable(epoch, example_id, repeat)
            except UserError as error:
                self.stopped = error, time.monotonic()
                return TrainItem(None, [], target, example_id, unreadable, error)
            if not isinstance(clips, DecodeError):
                return TrainItem(*clips, target, example_id, unreadable)
            unreadable.append(example_id)
        stopped = UserError(
            "loader.unreadable_files",
            f"training stopped: {len(unreadable)} files in a row cannot be read; the last is {clips}",
        )
        return TrainItem(None, [], target, example_id, unreadable, stopped)

    def _read_reachable(self, epoch: int, example_id: int, repeat: int) -> Clips | DecodeError:
        """The clips of an example, or why it has none; a UserError if its disk or server stays away."""
        row = self.manifest.row(example_id)
        if example_id in self.too_slow:
            return DecodeError("worker.timeout", row.path, f"reading takes longer than {self.seconds_per_file:g} s")

        def read() -> Clips | DecodeError:
            try:
                with self.watch.reading(example_id) if self.watch else nullcontext():
                    return self._read(epoch, example_id, repeat)
            except DecodeError as error:
                return error

        clips = read()
        if isinstance(clips, DecodeError) and clips.unreachable:
            may_warn = self.watch.is_first_to_wait if self.watch else None
            return self._disk.confirm(row, clips, read, may_warn)
        if not isinstance(clips, DecodeError):
            self._disk.was_read(row)
        return clips

    def _read(self, epoch: int, example_id: int, repeat: int) -> Clips:
        spec, key = self.spec, (self.seed, epoch, example_id)

        def choose(n: int) -> np.ndarray:
            rng = np.random.default_rng((*key, 2 * repeat))
            clips = [random_clip_indices(n, spec.frames, spec.stride, rng) for _ in range(self.clips_per_video)]
            return np.concatenate(clips)

        row, scale = self.manifest.row(example_id), self.random_resized_crop_scale
        rng = np.random.default_rng((*key, 2 * repeat + 1))
        if scale is not None and is_image(row):  # cropped at full resolution
            clips = [read_whole_image(row)] * self.clips_per_video
        else:
            frames = read_frames(row, choose, size=spec.resize, exact=False, decoder=spec.decoder, cache=self.cache)
            clips = np.split(frames, self.clips_per_video)
        if scale is not None:
            height, width = clips[0].shape[-2:]
            crops = [crop_and_resize(clip, random_box(height, width, scale, rng), spec.crop) for clip in clips]
            frames = np.concatenate([np.repeat(crop, spec.frames // len(crop), axis=0) for crop in crops])
        height, width = frames.shape[-2:]
        windows = [random_window(height, width, spec.crop, self.hflip_prob, rng) for _ in range(self.clips_per_video)]
        return torch.from_numpy(frames).view(self.clips_per_video, spec.frames, *frames.shape[1:]), windows
