"""Ways to train a network from video files.

`python -m tools.bench.train_readers READER EACH SETTING CLIPS FILE…` times one, which takes EACH clips from a file at a
time and uses the files repeatedly. The time includes the start of processes, but not imports and a short warm-up.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from tools.bench.train_contenders import CLASSES, MemoryClips, Setting, learn, plain_loop
from tools.bench.usage import PeakMemory
from vidsemi.config import Input, Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.loader import Loader
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.data.samplers import EpochSampler, MicroBatchSampler
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.runtime.priority import Priority
from vidsemi.runtime.process import usable_cores

WARM_UP = 2  # steps that are not timed


def spec_of(setting: Setting) -> InputSpec:
    """Frames of 128×171 for clips of 112×112, and for others in proportion."""
    default = Input()
    height, width = (round(side * setting.size / default.crop) for side in (128, 171))
    return setting.spec((height, width))


def train_clips(setting: Setting, files: list[str], each: int) -> TrainClips:
    """The training dataset of `vidsemi run`, with arbitrary labels."""
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder, "m.parquet"), {"path": files})
        manifest = load_manifest(Path(folder, "m.parquet"))
    targets = Targets.single(np.arange(len(files)) % CLASSES, CLASSES)
    examples = np.arange(len(files))
    return TrainClips(manifest, examples, targets, spec_of(setting), hflip_prob=0.5, seed=0, clips_per_video=each)


def vidsemi(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """Vidsemi's training loop."""
    recipe = setting.recipe("float32", clips=clips, each=each)
    return learn(setting.network(), train_clips(setting, files, each), recipe, setting.device)


def always_nice(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """The same, but readers keep their niceness beside other programs, too."""
    with patch.object(Priority, "update"):
        return vidsemi(setting, each, files, clips)


def never_nice(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """The same, but readers never yield the cores to the network."""
    with patch.object(Priority, "normal", True):
        return vidsemi(setting, each, files, clips)


def reading_alone(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """A limit: read the same batches with as many processes, and discard them."""
    order = EpochSampler(np.ones(len(files), np.int64), seed=0, start=0, stop=clips // each)
    batches = MicroBatchSampler(order, step_size=setting.batch // each, micro_batches=1, own=range(1))
    pin_memory = torch.device(setting.device).type == "cuda"
    dataset = train_clips(setting, files, each)
    with Loader(dataset, batches, Runtime(), pin_memory=pin_memory) as loader:
        return sum(map(len, loader.take(len(batches))))


def network_alone(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """The other limit: the same training on clips in memory."""
    same = MemoryClips(setting.spec((setting.size, setting.size)), setting.batch)
    return learn(setting.network(), same, setting.recipe("float32", clips=clips), setting.device, workers=0)


def pytorchvideo(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """The plain loop on pytorchvideo's batches."""
    return plain_loop(setting.network(), _peer_loader(setting, files, clips), torch.device(setting.device), "float32")


def pytorchvideo_reading(setting: Setting, each: int, files: list[str], clips: int) -> int:
    """Its limit: read the same batches, and discard them."""
    return sum(len(batch) for batch, _ in _peer_loader(setting, files, clips))


def _peer_loader(setting: Setting, files: list[str], clips: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """`LabeledVideoDataset` with a random clip of each file, in a DataLoader."""
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
    from torch.utils.data import DataLoader, RandomSampler

    spec, device = spec_of(setting), torch.device(setting.device)
    transform = _transform(spec)

    def example(sample: dict[str, Any]) -> tuple[torch.Tensor, int]:
        return transform(sample["video"]), sample["label"]

    labeled = [(file, {"label": number % CLASSES}) for number, file in enumerate(islice(cycle(files), clips))]
    dataset = LabeledVideoDataset(
        labeled,
        make_clip_sampler("random", spec.frames / _rate(files[0])),
        video_sampler=RandomSampler,
        transform=example,
        decode_audio=False,
        decoder="pyav",
    )
    return DataLoader(dataset, setting.batch, num_workers=usable_cores(), pin_memory=device.type == "cuda")


def _transform(spec: InputSpec) -> Callable[[torch.Tensor], torch.Tensor]:
    """(3, any number of frames, H, W) float32 in [0, 255] → (3, T, crop, crop), normalized.

    T evenly spaced frames are taken first, so that only these are transformed.
    """
    from torchvision.transforms.v2 import Compose, Normalize, RandomCrop, RandomHorizontalFlip

    augment = Compose(
        [
            RandomCrop(spec.crop),
            RandomHorizontalFlip(),
            Normalize([255 * mean for mean in spec.mean], [255 * std for std in spec.std]),
        ]
    )

    def transform(video: torch.Tensor) -> torch.Tensor:
        evenly = torch.linspace(0, video.shape[1] - 1, spec.frames).long()
        frames = video[:, evenly].transpose(0, 1)
        small = torch.nn.functional.interpolate(frames, size=spec.resize, mode="bilinear")
        return augment(small).transpose(0, 1).contiguous()

    return transform


def _rate(file: str) -> float:
    import av

    with av.open(file, metadata_errors="replace") as container:
        return float(container.streams.video[0].average_rate or 30)


READERS: dict[str, Callable[[Setting, int, list[str], int], int]] = {
    "reading alone": reading_alone,
    "network alone": network_alone,
    "pytorchvideo": pytorchvideo,
    "pytorchvideo, reading alone": pytorchvideo_reading,
    "vidsemi": vidsemi,
    "always nice": always_nice,
    "never nice": never_nice,
}


if __name__ == "__main__":
    reader, each, words, clips, *files = sys.argv[1:]
    setting = Setting(**json.loads(words))

    def run(clips: int) -> int:
        """Train; returns the number of clips."""
        return READERS[reader](setting, int(each), files, clips)

    run(WARM_UP * setting.batch)
    with PeakMemory() as memory:
        begin = time.perf_counter()
        done = run(int(clips))
        seconds = time.perf_counter() - begin
    device = torch.device(setting.device)
    mib = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.mib
    print(json.dumps({"clips_per_second": done / seconds, "clips": done, "seconds": seconds, "peak_mib": mib}))
