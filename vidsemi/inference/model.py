"""A trained network prepared for inference: uint8 clips in, one softmax per clip out."""

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import keep_freed_memory, put_channels_last
from vidsemi.runtime.library_errors import is_out_of_memory

Precision = Literal["float32", "bfloat16"]


def fastest_precision(device: torch.device) -> Precision:
    """Return bfloat16 if the device computes in it: GPUs from Ampere on, CPUs with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public name for it
        return "bfloat16" if supported is not None and supported() else "float32"
    return "float32"


class Inference:
    """A network on a device, in evaluation mode.

    Batch norm is folded into the convolution before it, and on CPUs tensors are channels-last. On 2 cores with AVX-512
    BF16 an R(2+1)D-18 then scores 11.3 clips of 8×112×112 per second in float32 and 22.5 in bfloat16, ten at a time;
    unprepared it scores 6.0 and 12.5 (`tools/bench.py forward`). In float32 scores change by less than 1e-6.

    The given network is not modified. The softmax is always float32; without it the outputs are features.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: InputSpec,
        device: torch.device,
        precision: Precision = "float32",
        softmax: bool = True,
    ):
        self.device, self._softmax = device, softmax
        self._spec, self._precision = spec, precision
        self._format = torch.contiguous_format
        self._network = fused(network.eval()).to(device)
        if device.type == "cpu":
            keep_freed_memory()
            self._format = torch.channels_last_3d
            put_channels_last(self._network)
        if precision == "bfloat16":  # once, where autocast would cast them in every pass
            for layer in self._network.modules():
                if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                    layer.to(torch.bfloat16)

    @torch.inference_mode()
    def __call__(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        """Return the softmax (or features) of each clip, (N, classes) float32 on the device, maybe still computing.

        The clips are arrays (…, T, 3, crop, crop) uint8, N clips together.
        """
        shape = (sum(map(len, clips)), *clips[0].shape[1:])
        if len(clips) == 1 and self.device.type == "cpu":
            batch = torch.from_numpy(clips[0])
        else:
            batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
            torch.cat([torch.from_numpy(some) for some in clips], out=batch)
        try:
            x = normalize(batch.to(self.device, non_blocking=True), self._spec, self._format)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
                outputs = self._network(x)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                "device.out_of_memory",
                f"out of memory on {self.device} with {len(batch)} clips; "
                "lower --clips-per-forward (in a config runtime.clips_per_forward)",
            ) from None
        return outputs.float().softmax(dim=1) if self._softmax else outputs.float()


def fused(network: nn.Module) -> nn.Module:
    """Return a copy of the network with batch norm folded into convolutions, if torch can trace it."""
    try:
        return fuse(network)
    except Exception:  # a custom network whose forward depends on its input
        return copy.deepcopy(network)
