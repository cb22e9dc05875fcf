"""Forward passes of differently prepared networks.

`python -m tools.bench.forward_contenders NETWORK TREATMENT PRECISION FRAMES SIZE CLIPS DEVICE SECONDS` times one. Each
copies random uint8 clips from host memory to the device, normalizes them, runs the network and takes the softmax. On a
GPU, TF32 is at torch's default: in convolutions only.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tools.bench.usage import PeakMemory

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from vidsemi.data.input_spec import InputSpec
    from vidsemi.inference.model import Precision

CLASSES = 400
MIN_PASSES = 3  # to time

Forward = Callable[["np.ndarray"], "torch.Tensor"]  # uint8 clips → scores, which the device may still be computing


def vidsemi(frames: int) -> nn.Module:
    """The R(2+1)D-18 of the paper."""
    from vidsemi.models.registry import create_model

    return create_model("r2plus1d_18", num_classes=CLASSES, frames=frames)


def torchvision(frames: int) -> nn.Module:
    """Torchvision's network of that name, which takes clips of any length."""
    from torchvision.models.video import r2plus1d_18

    return r2plus1d_18(num_classes=CLASSES)


def prepared(network: nn.Module, spec: InputSpec, device: torch.device, precision: Precision) -> Forward:
    """Prepared as by `vidsemi score`."""
    from vidsemi.inference.model import Inference

    infer = Inference(network, spec, device, precision)
    return lambda clips: infer([clips])


def eager(network: nn.Module, spec: InputSpec, device: torch.device, precision: Precision) -> Forward:
    """Unchanged; bfloat16 by autocast."""
    import torch

    return _forward(network.eval().to(device), spec, device, precision, torch.contiguous_format)


def compiled(network: nn.Module, spec: InputSpec, device: torch.device, precision: Precision) -> Forward:
    """Compiled by `torch.compile`; channels last, batch norm folded and weights cast once, as in scoring."""
    import torch
    from torch import nn

    from vidsemi.inference.model import fused

    ready = fused(network).to(device).to(memory_format=torch.channels_last_3d)
    if precision == "bfloat16":
        for layer in ready.modules():
            if isinstance(layer, nn.Conv3d | nn.Linear):
                layer.to(torch.bfloat16)
    ready.compile()
    return _forward(ready, spec, device, precision, torch.channels_last_3d)


def _forward(
    network: nn.Module, spec: InputSpec, device: torch.device, precision: Precision, layout: torch.memory_format
) -> Forward:
    import torch

    from vidsemi.data.normalize import normalize

    @torch.inference_mode()
    def forward(clips: np.ndarray) -> torch.Tensor:
        batch = torch.from_numpy(clips)
        if device.type == "cuda":
            batch = batch.pin_memory()
        x = normalize(batch.to(device, non_blocking=True), spec, layout)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(x)
        return logits.float().softmax(dim=1)

    return forward


NETWORKS = {"vidsemi": vidsemi, "torchvision": torchvision}
TREATMENTS = {"prepared": prepared, "eager": eager, "compiled": compiled}


def _seconds(forward: Forward, clips: np.ndarray, passes: int) -> float:
    begin = time.perf_counter()
    for _ in range(passes):
        scores = forward(clips)
    scores.cpu()  # waits for the device
    return time.perf_counter() - begin


def measure(forward: Forward, clips: np.ndarray, device: torch.device, least_seconds: float) -> dict[str, float]:
    """Time passes, after a first one, which may compile, and a second, which shows how many passes to time."""
    import torch

    with PeakMemory() as memory:
        first, usual = _seconds(forward, clips, 1), _seconds(forward, clips, 1)
        passes = max(MIN_PASSES, math.ceil(least_seconds / usual))
        seconds = _seconds(forward, clips, passes)
    mib = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.mib
    return {
        "clips_per_second": passes * len(clips) / seconds,
        "peak_mib": mib,
        "first_seconds": first,
        "seconds_a_pass": seconds / passes,
        "passes": passes,
    }


if __name__ == "__main__":
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # or the second round would not compile any more
    import numpy as np
    import torch

    from vidsemi.config import Input
    from vidsemi.data.input_spec import InputSpec

    network, treatment, precision, *sizes, name, seconds = sys.argv[1:]
    frames, size, many = map(int, sizes)
    device, default = torch.device(name), Input()
    spec = InputSpec(frames, default.stride, (size, size), size, default.mean, default.std)
    torch.manual_seed(0)
    forward = TREATMENTS[treatment](NETWORKS[network](frames), spec, device, precision)  # type: ignore[arg-type]
    clips = np.random.default_rng(0).integers(0, 256, (many, frames, 3, size, size), dtype=np.uint8)
    print(json.dumps(measure(forward, clips, device, float(seconds))))
