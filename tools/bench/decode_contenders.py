"""Readers of the ten test clips of a video; `python -m tools.bench.decode_contenders NAME T REPEATS FILE…` runs one.

A contender returns the frames of V = 10 clips of T frames as uint8 at 128×171, or None if it returns something else. It
runs on one core and is timed over all files, after a warm-up.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

VIEWS = 10
SIZE = (128, 171)

Reader = Callable[[str], np.ndarray | None]  # file → (V·T, 3, 128, 171) uint8; None for something else


def bare_decode(frames: int) -> Reader:
    """The limit: FFmpeg decodes every frame, and nothing else happens."""
    import av

    def read(file: str) -> None:
        with av.open(file, metadata_errors="replace") as container:
            stream = container.streams.best("video")
            assert isinstance(stream, av.VideoStream)
            stream.codec_context.thread_count = 1
            for _ in container.decode(stream):
                pass

    return read


def vidsemi(frames: int, decoder: Any = "pyav") -> Reader:
    """This package."""
    from vidsemi.data.clip_sampling import view_indices
    from vidsemi.data.manifest import Row
    from vidsemi.data.read import read_frames

    def read(file: str) -> np.ndarray:
        return read_frames(
            Row(0, file), lambda n: view_indices(n, frames, 1, VIEWS).reshape(-1), size=SIZE, decoder=decoder
        )

    return read


def decord_alone(frames: int) -> Reader:
    """Frame count and scaling of the library itself, one thread."""
    import decord
    import torch  # noqa: F401  (decord before torch can hang)

    from vidsemi.data.clip_sampling import view_indices

    def read(file: str) -> np.ndarray:
        reader = decord.VideoReader(file, width=SIZE[1], height=SIZE[0], num_threads=1)
        wanted = view_indices(len(reader), frames, 1, VIEWS).reshape(-1)
        return reader.get_batch(wanted.tolist()).asnumpy().transpose(0, 3, 1, 2)

    return read


def torchcodec_alone(frames: int) -> Reader:
    """Frame count and scaling of the library itself, one thread."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    from vidsemi.data.clip_sampling import view_indices

    def read(file: str) -> np.ndarray:
        reader = VideoDecoder(file, num_ffmpeg_threads=1, transforms=[Resize(SIZE)])
        wanted = view_indices(reader.metadata.num_frames or 0, frames, 1, VIEWS).reshape(-1)
        return reader.get_frames_at(wanted.tolist()).data.numpy()

    return read


def pytorchvideo(frames: int, decoder: str = "pyav", seconds: float | None = None) -> Reader:
    """One `get_clip` per view, scaled by torch as its own transforms do.

    Args:
        frames: of a clip.
        decoder: one of pytorchvideo's.
        seconds: length of a clip, from which frames are taken evenly, as in its examples; None for just T frames.
    """
    from pytorchvideo.data.encoded_video import EncodedVideo
    from torch.nn.functional import interpolate

    rates: dict[str, float] = {}

    def read(file: str) -> None:
        if file not in rates:  # during warm-up
            rates[file] = _rate(file)
        video = EncodedVideo.from_path(file, decode_audio=False, decoder=decoder)
        length = min(seconds or frames / rates[file], float(video.duration))
        for start in np.linspace(0, float(video.duration) - length, VIEWS):
            clip = video.get_clip(float(start), float(start) + length)["video"]
            evenly = np.linspace(0, clip.shape[1] - 1, frames).astype(int)
            interpolate(clip[:, evenly], size=SIZE, mode="bilinear").byte()
        video.close()

    return read


def torchvision_kinetics(frames: int) -> Reader:
    """Torchvision's Kinetics dataset and transform; listing the files' time stamps is not timed."""
    from torchvision.datasets import Kinetics
    from torchvision.transforms.v2 import Resize

    folder = TemporaryDirectory()
    made: dict[str, Any] = {}

    def read(file: str) -> None:
        if file not in made:
            place = Path(folder.name, str(len(made)), "val", "class")
            place.mkdir(parents=True)
            (place / Path(file).name).symlink_to(Path(file).resolve())
            step = max((_count(file) - frames) // (VIEWS - 1), 1)
            root, suffix = str(place.parent.parent), Path(file).suffix[1:]
            made[file] = Kinetics(
                root,
                frames,
                split="val",
                step_between_clips=step,
                extensions=(suffix,),
                transform=Resize(SIZE),
                output_format="TCHW",
            )
        for number in range(min(VIEWS, len(made[file]))):
            made[file][number]

    return read


def _count(file: str) -> int:
    import av

    with av.open(file, metadata_errors="replace") as container:
        return sum(1 for _ in container.decode(video=0))


def _rate(file: str) -> float:
    import av

    with av.open(file, metadata_errors="replace") as container:
        return float(container.streams.video[0].average_rate or 30)


CONTENDERS: dict[str, Callable[[int], Reader]] = {
    "bare decode (PyAV)": bare_decode,
    "vidsemi": vidsemi,
    "vidsemi, decord": lambda frames: vidsemi(frames, "decord"),
    "vidsemi, torchcodec": lambda frames: vidsemi(frames, "torchcodec"),
    "decord": decord_alone,
    "torchcodec": torchcodec_alone,
    "pytorchvideo, PyAV": pytorchvideo,
    "pytorchvideo, decord": lambda frames: pytorchvideo(frames, "decord"),
    "pytorchvideo, clips of 2 s": lambda frames: pytorchvideo(frames, seconds=2.0),
    "torchvision Kinetics": torchvision_kinetics,
}
POOL = "vidsemi, workers: "  # followed by their number


def measure(name: str, frames: int, repeats: int, files: list[str]) -> dict[str, Any]:
    """Videos per second on one core, and the mean difference of the frames from those of `vidsemi`."""
    import torch

    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    read = CONTENDERS[name](frames)
    reference = vidsemi(frames)
    differences = []
    for file in files:  # also warms up
        found, expected = read(file), reference(file)
        if found is not None and expected is not None:
            same = found.shape == expected.shape
            differences.append(float(abs(found.astype(int) - expected).mean()) if same else float("inf"))
    begin = time.perf_counter()
    for _ in range(repeats):
        for file in files:
            read(file)
    rate = repeats * len(files) / (time.perf_counter() - begin)
    return {"videos_per_second": rate, "difference": max(differences) if differences else None}


def measure_pool(workers: int, frames: int, repeats: int, files: list[str]) -> dict[str, Any]:
    """Videos per second of the worker pool that scoring uses, after a warm-up."""
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.data.manifest import Row
    from vidsemi.data.views import ViewReader, ViewRequest
    from vidsemi.data.worker_pool import PREFETCH, read_all

    reader = ViewReader(InputSpec(frames, 1, SIZE, 112, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), VIEWS, VIEWS)
    warm = PREFETCH * workers
    names = (files * (repeats * workers + warm))[: warm + workers * repeats * len(files)]
    requests = [ViewRequest(Row(number, file), 0, VIEWS, VIEWS) for number, file in enumerate(names)]
    results = read_all(reader, requests, workers=workers, seconds=600)
    for _ in range(warm):
        next(results)
    begin = time.perf_counter()
    done = sum(isinstance(views, np.ndarray) for views in results)
    return {"videos_per_second": done / (time.perf_counter() - begin), "difference": None}


if __name__ == "__main__":
    name, frames, repeats, *files = sys.argv[1:]
    if name.startswith(POOL):
        figures = measure_pool(int(name.removeprefix(POOL)), int(frames), int(repeats), files)
    else:
        figures = measure(name, int(frames), int(repeats), files)
    print(json.dumps(figures))
