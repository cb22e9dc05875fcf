"""A trained network prepared for inference: uint8 clips in, one softmax per clip out."""

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from vidsemi.data.class_map import ClassMap
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.io.errors import UserError
from vidsemi.models.convolution_trial import DTYPES, check_tf32, keep_in_float32, log_kept, wrong_convolutions
from vidsemi.models.modes import evaluating
from vidsemi.runtime.device import device_name, keep_freed_memory, put_channels_last, upload, uses_channels_last
from vidsemi.runtime.library_errors import first_line, is_device_error, is_out_of_memory

Precision = Literal["float32", "bfloat16", "float16"]
TRIAL_CLIPS = 2  # not those of a pass, so that all workers try the same; an error that needs more is not found


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

    Convolutions that the device gets wrong in reduced precision stay in float32; `in_float32` has their names. The
    given network is not modified. The softmax is always float32; without it the outputs are features.

    Args:
        network: takes (N, 3, T, H, W), gives (N, classes).
        spec: its input.
        device: of `pick_device`.
        precision: of convolutions and linear layers.
        softmax: False for features.
        class_map: sums the softmax of outputs to the scores of classes.
        channels_last: memory format; None as `uses_channels_last` says.
        compile: use torch.compile, with passes padded to one number of clips.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: InputSpec,
        device: torch.device,
        precision: Precision = "float32",
        softmax: bool = True,
        *,
        class_map: ClassMap | None = None,
        channels_last: bool | None = None,
        compile: bool = False,
    ):
        self.device, self._softmax = device, softmax
        self._places = None if class_map is None else torch.from_numpy(class_map.places()).to(device)
        self._spec, self._precision = spec, precision
        self._format = torch.contiguous_format
        self._network = fused(network).to(device)
        self._compiled, self._padded = compile, 0  # clips of a compiled pass
        if device.type == "cpu":
            keep_freed_memory()
        if uses_channels_last(channels_last, device, precision):
            self._format = torch.channels_last_3d
            put_channels_last(self._network)
        self.in_float32 = self._try_convolutions()
        if precision in DTYPES:  # once, where autocast would cast them in every pass
            for name, layer in self._network.named_modules():
                if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) and name not in self.in_float32:
                    layer.to(DTYPES[precision])
            keep_in_float32(self._network, self.in_float32)
        if compile:
            self._network.compile(dynamic=False)

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
            outputs = self._forward(self._normalized(batch))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise UserError(
                    "device.out_of_memory",
                    f"out of memory on {self.device} with {len(batch)} clips; "
                    "lower --clips-per-forward (in a config runtime.clips_per_forward)",
                ) from None
            if not is_device_error(error):
                raise
            message = f"{self.device} failed: {first_line(error)}; the same command resumes"
            raise UserError("device.failed", message) from error
        if not self._softmax:
            return outputs
        scores = outputs.softmax(dim=1)
        if self._places is None:
            return scores
        padded = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)
        return padded[:, self._places].sum(dim=2)  # in a fixed order, unlike index_add on GPUs

    def _normalized(self, clips: torch.Tensor) -> torch.Tensor:
        return normalize(upload(clips, self.device), self._spec, self._format)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        count = len(x)
        if self._compiled:  # another number of clips would be compiled for a minute
            self._padded = max(self._padded, count)
            x = torch.cat([x, x.new_zeros(self._padded - count, *x.shape[1:])]).contiguous(memory_format=self._format)
        with torch.autocast(self.device.type, DTYPES.get(self._precision), enabled=self._precision in DTYPES):
            logits: torch.Tensor = self._network(x)
        return logits[:count].float()

    @torch.inference_mode()
    def _try_convolutions(self) -> list[str]:
        """Names of the convolutions that have to stay in float32."""
        if self._precision == "float32" and self.device.type == "cpu":
            return []
        shape = (TRIAL_CLIPS, self._spec.frames, 3, self._spec.crop, self._spec.crop)
        clips = self._normalized(torch.zeros(shape, dtype=torch.uint8))
        check_tf32(self._network, clips, gradients=False)
        if self._precision == "float32":
            return []
        wrong = wrong_convolutions(self._network, clips, self._precision, gradients=False)
        log_kept(wrong, self._precision, device_name(self.device))
        return wrong


def fused(network: nn.Module) -> nn.Module:
    """Return a copy of the network in evaluation mode, batch norm folded into convolutions if torch can trace it."""
    with evaluating(network):
        try:
            return fuse(network)
        except Exception:  # a custom network whose forward depends on its input
            return copy.deepcopy(network)
