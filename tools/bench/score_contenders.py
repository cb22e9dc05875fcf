"""Ways to score a dataset; `python -m tools.bench.score_contenders NAME WEIGHTS REPEATS DEVICE FILE…` runs one.

Each scores every file REPEATS times, ten clips per video. The time includes the start of processes, but not imports,
loading the network and a small warm-up. Worker processes import this module, so it imports little.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bench.usage import PeakMemory

if TYPE_CHECKING:
    import torch

    from vidsemi.models.weights_file import NetworkSpec

VIEWS = 10

Run = Callable[[], int]  # does all the work; returns the number of clips that were scored


def vidsemi(weights: Path, files: list[str], device: str, precision: str) -> Run:
    """`vidsemi score`, from the manifest to the score shards."""
    from vidsemi.config import Runtime
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.manifest_file import write_manifest
    from vidsemi.inference.score import score_manifest

    folder = tempfile.mkdtemp()
    write_manifest(Path(folder, "m.parquet"), {"path": files})
    manifest = load_manifest(Path(folder, "m.parquet"))

    def run() -> int:
        figures = score_manifest(
            Path(tempfile.mkdtemp(dir=folder)),
            weights=weights,
            manifest=manifest,
            views=VIEWS,
            per_example=10,
            shard_size=1000,
            precision=precision,  # type: ignore[arg-type]
            runtime=Runtime(device=device),
            title=precision,
        )
        return figures["scored"] * VIEWS

    return run


def decode_alone(weights: Path, files: list[str], device: str) -> Run:
    """A limit: read the same views with as many processes as scoring, and discard them."""
    from vidsemi.data.manifest import Row
    from vidsemi.data.views import ViewReader
    from vidsemi.data.worker_pool import read_all
    from vidsemi.runtime.process import usable_cores

    reader = ViewReader(_load(weights)[1].input, VIEWS)

    def run() -> int:
        requests = (request for number, file in enumerate(files) for request in reader.requests(Row(number, file)))
        results = read_all(reader, requests, workers=usable_cores(), seconds=600)
        return sum(isinstance(views, np.ndarray) for views in results) * VIEWS

    return run


def network_alone(weights: Path, files: list[str], device: str, precision: str) -> Run:
    """The other limit: the same network on clips in memory."""
    from vidsemi.config import Runtime
    from vidsemi.inference.model import Inference
    from vidsemi.runtime.device import Fetched, clips_per_forward, pick_device

    network, spec = _load(weights)
    where = pick_device(Runtime(device=device))
    infer = Inference(network, spec.input, where, precision)  # type: ignore[arg-type]
    most = clips_per_forward(Runtime(), where)
    shape = (most, spec.input.frames, 3, spec.input.crop, spec.input.crop)
    clips = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    passes = max(len(files) * VIEWS // most, 1)

    def run() -> int:
        running: deque[Fetched] = deque()
        for _ in range(passes):  # waits for the pass before, as scoring does
            running.append(Fetched(infer([clips])))
            if len(running) > 1:
                running.popleft().tensor()
        running.popleft().tensor()
        return passes * most

    return run


def pytorchvideo(weights: Path, files: list[str], device: str) -> Run:
    """`LabeledVideoDataset` with its sampler of ten clips per video, a DataLoader, and the unchanged network."""
    import torch
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
    from torch.utils.data import DataLoader, SequentialSampler

    from vidsemi.runtime.process import usable_cores

    network, spec = _load(weights)
    seconds = spec.input.frames / _rate(files[0])

    def to_clip(sample: dict[str, Any]) -> tuple[int, torch.Tensor]:
        video = sample["video"]  # (3, frames, H, W) float32, 0 to 255
        evenly = torch.linspace(0, video.shape[1] - 1, spec.input.frames).long()
        small = torch.nn.functional.interpolate(video[:, evenly], size=spec.input.resize, mode="bilinear").byte()
        return sample["video_index"], _center(small.transpose(0, 1), spec.input.crop)

    def run() -> int:
        dataset = LabeledVideoDataset(
            [(file, {"label": 0}) for file in files],
            make_clip_sampler("constant_clips_per_video", seconds, VIEWS),
            video_sampler=SequentialSampler,
            transform=to_clip,
            decode_audio=False,
            decoder="pyav",
        )
        loader = DataLoader(dataset, batch_size=VIEWS, num_workers=usable_cores())
        return _mean_by_video(network, spec, iter(loader), device)

    return run


def torchvision(weights: Path, files: list[str], device: str) -> Run:
    """Torchvision's Kinetics dataset with ten clips per video in a DataLoader; listing time stamps is not timed."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.datasets import Kinetics
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize

    from vidsemi.runtime.process import usable_cores

    network, spec = _load(weights)
    folder = Path(tempfile.mkdtemp(), "val", "class")
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / f"{number:06d}{Path(file).suffix}").symlink_to(file)
    dataset = Kinetics(
        str(folder.parent.parent),
        spec.input.frames,
        split="val",
        extensions=tuple({Path(file).suffix[1:] for file in files}),
        transform=Compose([Resize(spec.input.resize), CenterCrop(spec.input.crop)]),
        output_format="TCHW",
    )
    clips = dataset.video_clips
    chosen, first = [], 0
    for own in clips.clips:
        chosen += [first + i * (len(own) - 1) // (VIEWS - 1) for i in range(VIEWS)]
        first += len(own)

    def collate(items: list[tuple]) -> tuple[torch.Tensor, torch.Tensor]:
        where = [clips.get_clip_location(index)[0] for index, _ in items]
        return torch.tensor(where), torch.stack([item[0] for _, item in items])

    class Chosen(Dataset):
        """The chosen clips with their indices."""

        def __len__(self) -> int:
            return len(chosen)

        def __getitem__(self, index: int) -> Any:
            return chosen[index], dataset[chosen[index]]

    def run() -> int:
        loader = DataLoader(Chosen(), batch_size=VIEWS, num_workers=usable_cores(), collate_fn=collate)
        return _mean_by_video(network, spec, iter(loader), device)

    return run


def _mean_by_video(network: torch.nn.Module, spec: NetworkSpec, batches: Iterator[Any], device: str) -> int:
    """The loop that a user of a peer writes: softmax of each clip, mean over the clips of a video."""
    import torch

    from vidsemi.config import Runtime
    from vidsemi.data.normalize import normalize
    from vidsemi.runtime.device import pick_device

    where = pick_device(Runtime(device=device))
    network.to(where).eval()
    sums: dict[int, Any] = {}
    clips = 0
    with torch.inference_mode():
        for videos, views in batches:
            softmax = network(normalize(views.to(where), spec.input)).softmax(dim=1)
            for video, row in zip(videos.tolist(), softmax, strict=True):
                sums[video] = sums.get(video, 0) + row / VIEWS
            clips += len(views)
    return clips


def _load(weights: Path) -> tuple[torch.nn.Module, NetworkSpec]:
    from vidsemi.models import weights_file

    return weights_file.load_weights(weights)


def _center(frames: torch.Tensor, crop: int) -> torch.Tensor:
    top, left = (frames.shape[-2] - crop) // 2, (frames.shape[-1] - crop) // 2
    return frames[..., top : top + crop, left : left + crop].contiguous()


def _rate(file: str) -> float:
    import av

    with av.open(file, metadata_errors="replace") as container:
        return float(container.streams.video[0].average_rate or 30)


CONTENDERS: dict[str, Callable[[Path, list[str], str], Run]] = {
    "decode alone": decode_alone,
    "network alone, float32": partial(network_alone, precision="float32"),
    "network alone, bfloat16": partial(network_alone, precision="bfloat16"),
    "vidsemi, float32": partial(vidsemi, precision="float32"),
    "vidsemi, bfloat16": partial(vidsemi, precision="bfloat16"),
    "pytorchvideo": pytorchvideo,
    "torchvision Kinetics": torchvision,
}


if __name__ == "__main__":
    name, weights, repeats, device, *files = sys.argv[1:]
    CONTENDERS[name](Path(weights), files[:1] * 2, device)()
    run = CONTENDERS[name](Path(weights), files * int(repeats), device)
    with PeakMemory() as memory:
        begin = time.perf_counter()
        clips = run()
        seconds = time.perf_counter() - begin
    figures = {"videos_per_second": clips / VIEWS / seconds, "videos": clips / VIEWS, "peak_mib": memory.mib}
    print(json.dumps({**figures, "seconds": seconds}))
