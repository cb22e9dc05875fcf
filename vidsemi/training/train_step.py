"""A network and all that changes with it while it learns: one step of SGD, whatever the stage."""

import logging
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vidsemi.config import Recipe, Runtime
from vidsemi.data.batch import Batch
from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.model import fastest_precision
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import keep_freed_memory, put_channels_last
from vidsemi.runtime.distributed import gather, processes
from vidsemi.training.batch_norm import RunningStatistics, recalibrate, synchronized
from vidsemi.training.bfloat16 import keep_in_float32, release, wrong_in_bfloat16

logger = logging.getLogger("vidsemi")


class Learner:
    """Trains a network in place.

    Args:
        network: what learns.
        recipe: how.
        spec: what it takes in.
        parts: of a step's batch.
        device: to run on.
        runtime: how to run.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, spec: InputSpec, parts: int, device: torch.device, runtime: Runtime
    ):
        self.recipe, self.spec, self.parts, self.device, self._machine = recipe, spec, parts, device, runtime
        last = runtime.channels_last if runtime.channels_last is not None else device.type == "cpu"
        self.layout = torch.channels_last_3d if last else torch.preserve_format
        if device.type == "cpu":
            keep_freed_memory()
        elif device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all steps have the same shapes
            if device.index is not None:
                torch.cuda.set_device(device)  # events and compiled code are those of the current one
        if recipe.precision == "bfloat16" and fastest_precision(device) != "bfloat16":
            logger.warning("%s has no instructions for bfloat16; float32 would be faster", device)
        if recipe.sync_batch_norm and processes().size > 1:
            network = synchronized(network, device)
        self.network = network.to(device).train()
        if last:
            put_channels_last(self.network)
        self.optimizer = torch.optim.SGD(
            _groups(self.network, recipe), recipe.peak_rate, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
        self.average: AveragedModel | None = None
        if recipe.ema is not None:
            self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self._statistics = RunningStatistics(self.network) if parts > 1 else None
        self._in_float32: list[str] | None = None  # convolutions that bfloat16 is not good for, once that is known
        self._ready: nn.Module | None = None

    def step(self, batches: Iterable[Batch], seeds: Sequence[int], examples: int, rate: float) -> torch.Tensor:
        """One step of SGD.

        Args:
            batches: the parts that are this process's.
            seeds: of what is drawn at random for each.
            examples: clips of the step, over all parts and processes.
            rate: the learning rate.

        Returns:
            (3,) on the device, which may still be at work on it; over all processes: the mean loss, how many clips have
            one of their target's classes as their best, the norm of the gradient before it was clipped.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        figures = torch.zeros(2, device=self.device)
        for number, (batch, seed) in enumerate(zip(batches, seeds, strict=True)):
            torch.manual_seed(seed)
            figures += self._learn_from(batch, examples, last=number == len(seeds) - 1)
        if self._statistics:
            figures = self._statistics.end_step(self.parts, figures)
        slopes = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        slope = torch.nn.utils.get_total_norm(slopes)
        if self.recipe.max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), self.recipe.max_grad_norm, slope)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return torch.cat([figures, slope.view(1)])

    def state(self) -> dict[str, Any]:
        """What a training goes on from: plain tensors, numbers and names."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        average = {"average": self.average.state_dict()} if self.average is not None else {}
        return state | average | {"in_float32": self._in_float32}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._in_float32 = state.get("in_float32")
        keep_in_float32(self.network, self._in_float32 or ())

    def not_finite(self) -> str | None:
        """The name of a weight or running statistic of the network, or of its average, that is no number."""
        learnt = {name for name, _ in self.network.named_parameters()}
        states = [self.network.state_dict(), self.average.module.state_dict() if self.average is not None else {}]
        for name, tensor in chain.from_iterable(state.items() for state in states):
            counts = name in learnt or name.endswith(("running_mean", "running_var"))  # a mask may hold infinities
            if counts and not tensor.isfinite().all():
                return name
        return None

    def finish(self, clips: Iterable[torch.Tensor] = (), passes: int = 0) -> None:
        """Leave the network as it is to be kept: its average where there is one, laid out as fresh ones are.

        Args:
            clips: over which the statistics of batch norm are averaged anew.
            passes: of them; 0 leaves the statistics as they are.
        """
        if self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
        if passes:
            with self._autocast():
                recalibrate(self.network, clips, passes)
        release(self.network, self._in_float32 or ())
        self.network.to(memory_format=torch.contiguous_format)

    def _autocast(self) -> AbstractContextManager:
        """The precision of forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _learn_from(self, batch: Batch, examples: int, last: bool) -> torch.Tensor:
        """Add a part's share to the gradient; returns its share of the loss, and how many clips are right."""
        clips = batch.clips(self.device, self.spec, self.layout)
        targets = batch.targets.to(self.device, non_blocking=True)
        if self.recipe.mixup:
            clips, targets = mixed(clips, targets, self.recipe.mixup)
        network = self._ready or self._prepare(clips)
        own_statistics = self._statistics.of_part() if self._statistics else nullcontext()
        waits = network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext()
        with own_statistics, waits:
            with self._autocast():
                logits = network(clips)
            if logits.shape != targets.shape:
                raise UserError(f"the network puts out {tuple(logits.shape)} where targets are {tuple(targets.shape)}")
            smooth = self.recipe.label_smoothing
            loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smooth, reduction="sum")
            loss = loss / examples
            (loss * processes().size).backward()  # DistributedDataParallel takes the mean over the processes
        right = targets.gather(1, logits.argmax(1, keepdim=True)) > 0
        return torch.stack([loss.detach(), right.sum().to(loss.dtype)])

    def _prepare(self, clips: torch.Tensor) -> nn.Module:
        """Make ready for steps, now that it is known what they look like."""
        if self.recipe.precision == "bfloat16" and self._in_float32 is None:
            self._in_float32 = sorted(set().union(*gather(wrong_in_bfloat16(self.network, clips))))
            keep_in_float32(self.network, self._in_float32)
        if self._in_float32:
            names = ", ".join(self._in_float32)
            logger.info("in float32, since their gradients are wrong in bfloat16 on this CPU: %s", names)
        if self._machine.compile:
            self.network.compile(dynamic=False)  # else what a shape compiles to would depend on those before it
        self._ready = self.network
        if processes().size > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the argument's new name is not known to older torch
                self._ready = DistributedDataParallel(self.network, broadcast_buffers=False)
        return self._ready


def mixed(clips: torch.Tensor, targets: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (Zhang et al. 2018): each clip and its target with those of another, by one share from Beta(α, α)."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return clips.lerp(clips.flip(0), share), targets.lerp(targets.flip(0), share)


def _groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The parameters with the weight decay of each."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not recipe.no_decay_norm_and_bias:
        return [{"params": parameters, "weight_decay": recipe.weight_decay}]
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]  # biases, scales of normalisation
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
