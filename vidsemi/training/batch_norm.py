"""Batch norm over micro-batches and processes: running statistics, synchronization."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidsemi.io.errors import UserError
from vidsemi.runtime.distributed import processes

TORCH_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronized(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch norm over the examples of all processes; its parameters stay the same tensors.

    On GPUs this is torch's SyncBatchNorm. torch has none for CPUs, so there it is `CpuSyncBatchNorm`, which lets the
    tests show that several processes train like one. Any other kind of batch norm may do more and is a `UserError`.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and type(module) not in (*TORCH_BATCH_NORM, nn.SyncBatchNorm):
            raise UserError(
                "sync_batch_norm.unsupported",
                f"sync_batch_norm supports torch's batch norm only, not {type(module)}; set sync_batch_norm: false",
            )
    return nn.SyncBatchNorm.convert_sync_batchnorm(network) if device.type == "cuda" else _convert(network)


def _convert(module: nn.Module) -> nn.Module:
    if isinstance(module, TORCH_BATCH_NORM):
        return CpuSyncBatchNorm(module)
    for name, child in module.named_children():
        module.add_module(name, _convert(child))
    return module


class CpuSyncBatchNorm(nn.BatchNorm3d):
    """Batch norm over the examples of all processes, with the settings, parameters and statistics of `own`.

    Processes may have different numbers of examples, and inputs any number of dimensions. Precise batch norm (fvcore)
    looks for torch's own classes, but DDP refuses SyncBatchNorm on CPUs; hence the base class.
    """

    def __init__(self, own: _BatchNorm):
        super().__init__(own.num_features, own.eps, own.momentum, own.affine, own.track_running_stats)
        self.train(own.training)
        for name, parameter in own.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in own.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, ...) → the same shape, normalized over N and all positions of all processes."""
        if not self.training:
            return super().forward(x)
        from fvcore.nn.distributed import differentiable_all_reduce as all_reduce

        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        values = x.float()
        own_count = values.new_tensor([values.numel() / values.shape[1]])
        sums = all_reduce(torch.cat([values.sum(axes), own_count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centered = values - mean.view(shape)
        variance = all_reduce(centered.square().sum(axes)) / count
        self._update_running_statistics(mean, variance * count / (count - 1))
        y: torch.Tensor = centered * (variance + self.eps).rsqrt().view(shape)
        return (y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y).to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class RunningStatistics:
    """Running means and variances under gradient accumulation: after a step, their mean over all micro-batches.

    Each micro-batch starts from the statistics before the step. A moving average is linear, so the mean is the same
    however many processes share the micro-batches.
    """

    def __init__(self, network: nn.Module):
        self.buffers = [
            buffer
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.training  # a frozen one has the same all the time
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]
        self._before = [buffer.clone() for buffer in self.buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self.buffers]
        self._started = False  # the step

    @contextmanager
    def of_micro_batch(self) -> Iterator[None]:
        """The forward pass of a micro-batch."""
        if self.buffers:  # a few kernels; one a layer would be 834 a step of an R(2+1)D-34
            if self._started:
                torch._foreach_copy_(self.buffers, self._before)
            else:
                torch._foreach_copy_(self._before, self.buffers)
                torch._foreach_zero_(self._sums)
                self._started = True
        yield
        if self.buffers:
            torch._foreach_add_(self._sums, self.buffers)

    def end_step(self, micro_batches: int, sums: torch.Tensor) -> torch.Tensor:
        """Set the statistics to their mean over all micro-batches of all processes.

        The same message reduces `sums`, (n,) float32 of this process; returns them over all processes.
        """
        flat = torch.cat([sums, *[total.view(-1) for total in self._sums]])
        if processes().size > 1:
            dist.all_reduce(flat)
        means = flat[len(sums) :] / micro_batches
        if self.buffers:
            torch._foreach_copy_(self.buffers, [*means.split([len(buffer) for buffer in self.buffers])])
        self._started = False
        return flat[: len(sums)]
