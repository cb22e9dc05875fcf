"""Where the time of a training step and of a scoring pass goes, and what waits for the device."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from tools.bench.train_contenders import MemoryClips, Setting
from tools.gpu.measure import Options, row, synchronize
from tools.gpu.speed import LARGE, SMALL

TOP = 10  # kernels shown
LAYOUT_WORDS = ("nhwc", "nchw", "transpose")  # in the names of kernels that change the memory format


def profile_steps(options: Options) -> dict[str, Any]:
    """Milliseconds of host and device, launches, share of memory-format changes, top kernels; waits in a step."""
    from vidsemi.config import Runtime
    from vidsemi.data.batch import collate
    from vidsemi.inference.model import Inference
    from vidsemi.training.metrics import Metrics, Step
    from vidsemi.training.train_step import TrainStep

    device, batch = torch.device(options.device), 2 if options.small else 64
    setting = Setting(*(SMALL if options.small else LARGE), 112, batch, options.device)
    spec, times = setting.spec((112, 112)), 1 if options.small else 10
    same, recipe = MemoryClips(spec, batch), setting.recipe("bfloat16", clips=100 * batch)
    own = collate([same[(0, number, 0)] for number in range(batch)])
    own = own.pin_memory() if device.type == "cuda" else own
    rows, tops, waits = [], {}, []
    for channels_last in (False, True):
        runtime = Runtime(device=options.device, channels_last=channels_last)
        train_step, metrics = TrainStep(setting.network(), recipe, spec, 1, device, runtime), Metrics()

        def step(train_step: TrainStep = train_step, metrics: Metrics = metrics) -> None:
            metrics.add(Step(1, 0, batch, 0.01, [], train_step.run([own], [0], batch, 0.01)))

        infer = Inference(setting.network(), spec, device, "bfloat16", channels_last=channels_last)
        clips = np.zeros((batch, spec.frames, 3, 112, 112), np.uint8)
        for name, work in (("step", step), ("pass", lambda infer=infer, clips=clips: infer([clips]))):
            title = f"{name}, {'channels last' if channels_last else 'contiguous'}"
            found, tops[title] = _profile(work, device, times)
            rows.append(row({"what": title, **found}))
        if device.type == "cuda":
            waits += _waits(step)
    return {"rows": rows, "waits in a step": waits or ["none"], **{f"top, {name}": top for name, top in tops.items()}}


def _profile(work: Callable[[], Any], device: torch.device, times: int) -> tuple[dict[str, float], list[str]]:
    work()
    synchronize(device)
    begin = time.perf_counter()
    for _ in range(times):
        work()
    host = time.perf_counter() - begin  # until everything is launched
    synchronize(device)
    wall = time.perf_counter() - begin
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as seen:
        for _ in range(times):
            work()
        synchronize(device)
    kernels = [(event.key, event.self_device_time_total, event.count) for event in seen.key_averages()]
    kernels = sorted((kernel for kernel in kernels if kernel[1]), key=lambda kernel: -kernel[1])
    total = sum(micros for _, micros, _ in kernels) or 1
    layout = sum(micros for name, micros, _ in kernels if any(word in name.lower() for word in LAYOUT_WORDS))
    found = {
        "ms": 1e3 * wall / times,
        "host ms": 1e3 * host / times,
        "device ms": total / 1e3 / times,
        "launches": sum(count for *_, count in kernels) / times,
        "memory format changes, %": 100 * layout / total,
    }
    top = [f"{micros / total:.1%}, {count / times:.0f} times: {name[:90]}" for name, micros, count in kernels[:TOP]]
    return found, top


def _waits(step: Callable[[], Any]) -> list[str]:
    """Lines at which a step makes the host wait for the device."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        step()
        torch.cuda.set_sync_debug_mode("default")
    return [f"{warning.filename}:{warning.lineno}" for warning in caught]
