"""Normalize uint8 clips on the device. Apart from `transforms.py`, which worker processes import without torch."""

from functools import cache

import torch

from vidsemi.data.input_spec import InputSpec


def normalize(
    clips: torch.Tensor, spec: InputSpec, memory_format: torch.memory_format = torch.preserve_format
) -> torch.Tensor:
    """(N, T, 3, H, W) uint8 → (N, 3, T, H, W) float32 with the spec's mean and deviation, on the tensor's device."""
    mean, std = _planes(spec.mean, clips.device), _planes(spec.std, clips.device)
    planes = clips.float().sub_(mean).div_(std)  # channels-last takes more than twice as long here
    return planes.transpose(1, 2).to(memory_format=memory_format)


def _planes(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    """(3, 1, 1), for pixels in [0, 255]."""
    return _planes_on_gpu(values, device) if device.type == "cuda" else torch.tensor(values).mul_(255).view(3, 1, 1)


@cache  # copying them anew would take two copies a pass
def _planes_on_gpu(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # training may use them too
        return torch.tensor(values).mul_(255).view(3, 1, 1).to(device)
