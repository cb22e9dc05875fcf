"""Shared by the sections of the GPU check: options, rows, timing, a clip, weights, a small dataset."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROW = "ROW "  # before a row that a section prints
CLASSES = 400
CLIP_SIZE, CLIP_FRAMES, CLIP_GOP = (256, 340), 280, 250  # as Kinetics' files often are


@dataclass(frozen=True)
class Options:
    """What a section is run with."""

    device: str
    small: bool  # as little as shows that the section works
    clip: str  # a video to decode; empty for one that is made
    output: Path


def row(values: dict[str, Any]) -> dict[str, Any]:
    """Print a row of a section at once, so that it is kept if the section is killed; returns it."""
    print(ROW + json.dumps(values, default=str), flush=True)
    return values


def synchronize(device: Any) -> None:
    """Wait for the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], Any], device: Any, least: float = 0.3) -> float:
    """Median seconds of a call, after three to warm up; the device is waited for at each end."""
    for _ in range(3):
        work()
    seconds: list[float] = []
    begun = time.perf_counter()
    while len(seconds) < 5 or time.perf_counter() - begun < least:
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def a_clip(named: str) -> str:
    """The named video, or a made one of 340×256, H.264, a key frame every 250."""
    if named and Path(named).is_file():
        return named
    file = Path(tempfile.gettempdir()) / "vidsemi_gpu_check.mp4"
    if not file.exists():
        _make_clip(file)
    return str(file)


def _make_clip(file: Path) -> None:
    import av

    rng = np.random.default_rng(0)
    height, width = CLIP_SIZE
    scene = np.cumsum(rng.normal(size=(2 * height, 2 * width, 3)), axis=1) * 6 + 128
    part = file.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", CLIP_GOP
        for number in range(CLIP_FRAMES):
            view = scene[number // 3 : number // 3 + height, number // 2 : number // 2 + width]
            pixels = np.clip(view + rng.normal(scale=2, size=view.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    os.replace(part, file)


def untrained_weights(model: str, args: dict[str, Any], frames: int, folder: Path) -> Path:
    """A weights file of a network with fresh weights."""
    import torch

    from vidsemi.config import Input
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.models.weights_file import NetworkSpec, save_weights

    file, default = folder / f"{model}_{frames}.pt", Input()
    takes = InputSpec(frames, 1, default.resize, default.crop, default.mean, default.std)
    torch.manual_seed(0)
    spec = NetworkSpec(model, args, [f"class {number}" for number in range(CLASSES)], takes)
    save_weights(file, spec.build(), spec, {})
    return file


def moving_shapes(folder: Path) -> Path:
    """A small dataset of moving shapes."""
    sizes = ["--labeled", "3", "--unlabeled", "6", "--no-class", "4", "--test", "2"]
    words = [sys.executable, "datasets/moving_shapes/prepare.py", "--output", str(folder), *sizes]
    subprocess.run(words, check=True, capture_output=True)
    return folder
