"""Normalize uint8 clips on the device. Apart from `transforms.py`, which worker processes import without torch."""

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
    planes = torch.tensor(values).mul_(255).view(3, 1, 1)
    # From pinned memory, or the host would wait for the GPU to finish its queue.
    return (planes.pin_memory() if device.type == "cuda" else planes).to(device, non_blocking=True)
