"""A trained network made ready to score: uint8 clips in, one softmax a clip out."""

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

Precision = Literal["float32", "bfloat16"]


def fastest_precision(device: torch.device) -> Precision:
    """bfloat16 where the device computes with it, as GPUs from Ampere on and CPUs with AVX-512 BF16 or AMX do."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        asks = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public name for it
        return "bfloat16" if asks is not None and asks() else "float32"
    return "float32"


class Inference:
    """A network on a device, in evaluation mode.

    Batch norm goes into the convolution before it, and on CPUs tensors are laid out with the channels last. On 2 cores
    with AVX-512 BF16 an R(2+1)D-18 then scores 11.3 clips of 8×112×112 a second in float32 and 22.5 in bfloat16, ten
    at a time, where the network as it was trained scores 6.0 and 12.5 (`tools/bench.py forward`). In float32 scores
    change by less than 1e-6.

    Args:
        network: maps (N, 3, T, H, W) to logits (N, classes); stays as it is.
        spec: what it takes in.
        device: to run on.
        precision: of the convolutions; the softmax is always float32.
        softmax: leave it out where the network's outputs are features.
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
        """Softmax (or features) of each clip, (N, classes) float32 on the device, which may still be at work on it.

        Args:
            clips: arrays (…, T, 3, crop, crop) uint8 that make N clips together.

        Raises:
            UserError: they are too many for the device's memory.
        """
        shape = (sum(map(len, clips)), *clips[0].shape[1:])
        if len(clips) == 1 and self.device.type == "cpu":
            batch = torch.from_numpy(clips[0])
        else:
            batch = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
            torch.cat([torch.from_numpy(part) for part in clips], out=batch)
        try:
            x = normalize(batch.to(self.device, non_blocking=True), self._spec, self._format)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
                outputs = self._network(x)
        except torch.OutOfMemoryError:
            raise UserError(
                f"{len(batch)} clips at once are too many for the memory of {self.device}; "
                "lower --clips-per-forward (in a config runtime.clips_per_forward)"
            ) from None
        return outputs.float().softmax(dim=1) if self._softmax else outputs.float()


def fused(network: nn.Module) -> nn.Module:
    """A copy of the network, its batch norms folded into convolutions where torch can trace it."""
    try:
        return fuse(network)
    except Exception:  # a network of another's making whose forward depends on its input
        return copy.deepcopy(network)
