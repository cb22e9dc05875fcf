"""Batch norm where a step's batch is cut into parts, or spread over processes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidsemi.io.errors import UserError
from vidsemi.runtime.distributed import processes


def synchronized(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch norm over the examples of all processes: torch's own on GPUs, which alone it knows.

    Raises:
        UserError: it has batch norm of another's making, which may do more than that.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and type(module) not in (*SYNCHRONIZED, nn.SyncBatchNorm):
            raise UserError(f"sync_batch_norm knows torch's own batch norm only, and not the network's {type(module)}")
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) in SYNCHRONIZED:
            module.__class__ = SYNCHRONIZED[type(module)]  # only the forward pass differs
    return network


class _Synchronizing(_BatchNorm):
    """Batch norm over the examples of all processes, of which each may have another number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        from fvcore.nn.distributed import differentiable_all_reduce as all_reduce

        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        values = x.float()
        own_count = values.new_tensor([values.numel() / values.shape[1]])
        sums = all_reduce(torch.cat([values.sum(axes), own_count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = all_reduce(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * count / (count - 1), share)
        y = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)


class _Synchronized1d(_Synchronizing, nn.BatchNorm1d):
    pass


class _Synchronized2d(_Synchronizing, nn.BatchNorm2d):
    pass


class _Synchronized3d(_Synchronizing, nn.BatchNorm3d):
    pass


SYNCHRONIZED: dict[type, type] = {
    nn.BatchNorm1d: _Synchronized1d,
    nn.BatchNorm2d: _Synchronized2d,
    nn.BatchNorm3d: _Synchronized3d,
}


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
