"""Measure how fast this machine reads the files of a plan and computes its networks, by the code of the stages."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import cycle

import numpy as np
import torch

from vidsemi.config import Runtime
from vidsemi.data.batch import Batch, collate
from vidsemi.data.frame_cache import FrameCache, frame_cache
from vidsemi.data.loader import Loader
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference, Precision, fastest_precision
from vidsemi.inference.score_views import read_in_processes
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.progress import progress_bar
from vidsemi.models.flops import measure_cost
from vidsemi.pipeline.cost.rates import CPU, Machine, NetworkRate, Rates, row_of
from vidsemi.pipeline.cost.work import Computing, Reading, Work, micro_batch
from vidsemi.runtime.device import clips_per_forward, pick_device
from vidsemi.runtime.process import usable_cores
from vidsemi.training.train_step import TrainStep

SECONDS = 40.0  # of all measurements together
LONGEST = 3.0  # of one
FEWEST_FILES, FEWEST_STEPS = 3, 2
CACHED_FILES = 32  # of a dataset, that are read from a cache to measure it
TRIAL_CLIPS = 2  # of the first step, which tells how many clips fit the time

logger = logging.getLogger("vidsemi")


def machine_here(runtime: Runtime) -> Machine:
    """The devices and cores of this machine, as the config uses them."""
    devices = torch.cuda.device_count() if pick_device(runtime).type == "cuda" else 1
    return Machine(max(devices, 1), usable_cores(), torch.get_num_threads(), runtime.workers)


def measure(work: Sequence[Work], runtime: Runtime, seconds: float = SECONDS) -> Rates:
    """Measure the rates that a plan needs, in about so many seconds; networks too large for the machine take longer.

    Raises:
        UserError: no file of a dataset can be read, or the device is not there.
    """
    readings = {own.key: own for one in work for own in one.readings if own.files}
    networks = {own.key: own for one in work for own in one.computing if own.clips}
    each = min(LONGEST, seconds / max(len(readings) + len(networks), 1))
    device = pick_device(runtime)
    with progress_bar(2 * len(readings) + len(networks), "measurement", "measure rates") as bar:
        cache = frame_cache(runtime.frame_cache)
        first = {key: files_per_second(own, each / 2, cache) for key, own in readings.items()}
        bar.update(len(readings))
        speeds = {}
        for key, computing in networks.items():
            speeds[key] = network_rate(computing, runtime, device, each)
            bar.update()
        second = {key: files_per_second(own, each / 2, cache) for key, own in readings.items()}
        bar.update(len(readings))
    training = next((own for own in readings.values() if own.recipe), None)
    views = next((own for own in readings.values() if not own.recipe), None)
    return Rates(
        device=CPU if device.type == "cpu" else row_of(torch.cuda.get_device_name(device)),
        cores=torch.get_num_threads(),
        loader_seconds=loader_seconds(training, runtime) if training else None,
        reader_seconds=reader_seconds(views, runtime) if views else None,
        networks=speeds,
        # Twice, some time apart, since other programs come and go.
        reads={key: 2 / (1 / first[key] + 1 / second[key]) for key in readings},
    )


def files_per_second(reading: Reading, seconds: float, cache: FrameCache | None = None) -> float:
    """Files of a dataset that one core reads a second, once the cache has them."""
    count, read = 0, 0
    items = _train_items(reading, cache) if reading.recipe else _viewed(reading, cache)
    for _ in range(CACHED_FILES if cache else 1):  # the first one opens what stays open
        next(items)
    begin = time.perf_counter()
    while count < FEWEST_FILES or time.perf_counter() - begin < seconds:
        read += next(items)
        count += 1
    if not read:
        raise UserError("rates.nothing_readable", f"none of {count} files of {reading.manifest.file} can be read")
    return count / (time.perf_counter() - begin)


def _examples(reading: Reading, cache: FrameCache | None) -> Iterator[int]:
    """Examples of a dataset in random order, for ever; with a cache some of them again and again."""
    generator = np.random.default_rng(0)
    if cache:
        yield from cycle(generator.integers(len(reading.manifest), size=CACHED_FILES).tolist())
    while True:
        yield int(generator.integers(len(reading.manifest)))


def _train_items(reading: Reading, cache: FrameCache | None) -> Iterator[bool]:
    dataset = _train_clips(reading, cache)
    for example in _examples(reading, cache):
        item = dataset[0, example, 0]
        collate([item])
        yield not item.unreadable


def _train_clips(reading: Reading, cache: FrameCache | None = None) -> TrainClips:
    count = len(reading.manifest)
    return TrainClips(
        reading.manifest,
        np.arange(count),
        Targets.single(np.zeros(count, np.int64), 1),
        reading.input,
        hflip_prob=0.5,
        seed=0,
        random_resized_crop_scale=reading.scale,
        clips_per_video=reading.clips,
        cache=cache,
    )


def _viewed(reading: Reading, cache: FrameCache | None) -> Iterator[bool]:
    reader = ViewReader(reading.input, reading.clips, crops=reading.crops, cache=cache)
    for example in _examples(reading, cache):
        try:
            for request in reader.requests(reading.manifest.row(example)):
                reader(request)
            yield True
        except DecodeError:
            yield False


def network_rate(computing: Computing, runtime: Runtime, device: torch.device, seconds: float) -> NetworkRate:
    """Clips a second of a network on random pixels, and the seconds before the first one."""
    begin = time.perf_counter()
    prepare = _inference if computing.recipe is None else _training
    most, run = prepare(computing, runtime, device)
    clips = min(TRIAL_CLIPS, most)
    run(clips)
    started = time.perf_counter()
    run(clips)
    one = (time.perf_counter() - started) / clips
    setup = started - begin - one * clips
    clips = max(min(most, int(seconds / FEWEST_STEPS / one)), clips)
    if clips > TRIAL_CLIPS:
        run(clips)  # memory for it
    steps, started = 0, time.perf_counter()
    while steps < FEWEST_STEPS or time.perf_counter() - started < seconds:
        run(clips)
        steps += 1
    rate = steps * clips / (time.perf_counter() - started)
    return NetworkRate(clips_per_second=rate, start_seconds=max(setup, 0.0))


Run = Callable[[int], object]  # computes so many clips, and waits for the device


def _inference(computing: Computing, runtime: Runtime, device: torch.device) -> tuple[int, Run]:
    spec, takes = computing.spec, computing.spec.input
    network, own = spec.build(), computing.precision
    measure_cost(network, frames=takes.frames, size=takes.crop)  # as an evaluation does
    precision: Precision = fastest_precision(device) if own == "auto" else own  # type: ignore[assignment]
    infer = Inference(network, takes, device, precision, channels_last=runtime.channels_last)
    most = clips_per_forward(runtime, device)
    pixels = _pixels(computing, most)
    return most, lambda clips: infer([pixels[:clips]]).cpu()


def _training(computing: Computing, runtime: Runtime, device: torch.device) -> tuple[int, Run]:
    spec, recipe = computing.spec, computing.recipe
    assert recipe is not None
    step = TrainStep(spec.build(), recipe, spec.input, 1, device, runtime)
    most = micro_batch(recipe)
    pixels, targets = torch.from_numpy(_pixels(computing, most)), torch.zeros(most, len(spec.classes))
    targets[:, 0] = 1

    def run(clips: int) -> object:
        batch = Batch(pixels[:clips], targets[:clips], [*range(clips)], [], None)
        return step.run([batch], [0], clips, 1e-6).cpu()

    return most, run


def _pixels(computing: Computing, clips: int) -> np.ndarray:
    takes = computing.spec.input
    shape = (clips, takes.frames, 3, takes.crop, takes.crop)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def loader_seconds(reading: Reading, runtime: Runtime) -> float:
    """Seconds until the readers of training have started, and after it until they have ended."""
    begin = time.perf_counter()
    with Loader(_train_clips(reading), [[(0, 0, 0)]], runtime, pin_memory=False) as loader:
        for _ in loader.take(1):
            pass
    return time.perf_counter() - begin


def reader_seconds(reading: Reading, runtime: Runtime) -> float:
    """The same of scoring and evaluation."""
    begin = time.perf_counter()
    reader, row = ViewReader(reading.input, reading.clips), reading.manifest.row(0)
    read_views = read_in_processes(reader, runtime, 1, reading.manifest)
    with closing(read_views(reader.requests(row))) as ready:
        for _ in ready:
            pass
    return time.perf_counter() - begin
