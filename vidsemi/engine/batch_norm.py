"""Batch norm where a step's batch is cut into parts, or spread over processes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidsemi.engine.distributed import processes


def synchronized(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch norm over the examples of all processes: torch's on GPUs, pytorchvideo's elsewhere.

    Both have the parameters of the one that they take the place of.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    from pytorchvideo.layers import batch_norm

    alike: dict[type, type] = {
        nn.BatchNorm1d: batch_norm.NaiveSyncBatchNorm1d,
        nn.BatchNorm2d: batch_norm.NaiveSyncBatchNorm2d,
        nn.BatchNorm3d: batch_norm.NaiveSyncBatchNorm3d,
    }
    for module in network.modules():
        if type(module) in alike:
            module.__class__ = alike[type(module)]  # it differs in its forward pass only
    return network


class RunningStatistics:
    """The running means and variances of a network: after a step, the mean of what each part would make of them.

    A moving average is linear, so this is the mean of the statistics of so many processes that each see their own part,
    and the same however many processes there are.
    """

    def __init__(self, network: nn.Module):
        self.buffers = [
            buffer
            for module in network.modules()
            if isinstance(module, _BatchNorm)
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]
        self._before: list[torch.Tensor] = []
        self._sums: list[torch.Tensor] = []

    @contextmanager
    def of_part(self) -> Iterator[None]:
        """A part's forward pass: it begins with the statistics of before the step."""
        if not self._before:
            self._before = [buffer.clone() for buffer in self.buffers]
            self._sums = [torch.zeros_like(buffer) for buffer in self.buffers]
        for buffer, before in zip(self.buffers, self._before, strict=True):
            buffer.copy_(before)
        yield
        for total, buffer in zip(self._sums, self.buffers, strict=True):
            total += buffer

    def end_step(self, parts: int, figures: torch.Tensor) -> torch.Tensor:
        """Take the mean over all parts of all processes.

        Args:
            parts: how many there were.
            figures: (n,) float32 of this process.

        Returns:
            The figures, summed over all processes; they go along, since each message costs.
        """
        flat = torch.cat([figures, *[total.view(-1) for total in self._sums]])
        if processes().size > 1:
            dist.all_reduce(flat)
        means = flat[len(figures) :] / parts
        for buffer, mean in zip(self.buffers, means.split([len(buffer) for buffer in self.buffers]), strict=True):
            buffer.copy_(mean)
        self._before = []
        return flat[: len(figures)]


def recalibrate(network: nn.Module, clips: Iterable[torch.Tensor], passes: int) -> None:
    """Replace the running statistics by their averages over some forward passes (fvcore's precise BN)."""
    from fvcore.nn.precise_bn import update_bn_stats

    update_bn_stats(network.train(), clips, passes)
