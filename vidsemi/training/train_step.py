"""One optimizer step: gradient accumulation over micro-batches, SGD or AdamW, moving average."""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from vidsemi.config import Recipe, Runtime
from vidsemi.data.batch import Batch
from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.model import fastest_precision
from vidsemi.io.errors import UserError
from vidsemi.models.convolution_trial import check_tf32, keep_in_float32, log_kept, release, wrong_convolutions
from vidsemi.runtime.device import device_name, keep_freed_memory, put_channels_last, to_cpu, uses_channels_last
from vidsemi.runtime.distributed import gather, processes
from vidsemi.training import gradient_checkpointing
from vidsemi.training.batch_norm import RunningStatistics, synchronized
from vidsemi.training.optimizer import freeze, make_optimizer

logger = logging.getLogger("vidsemi")


class TrainStep:
    """A network with its optimizer and everything else that changes with a step; trains the network in place.

    `micro_batches` is how many a step has, over all processes.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        spec: InputSpec,
        micro_batches: int,
        device: torch.device,
        runtime: Runtime,
    ):
        self.recipe, self.spec, self.micro_batches, self.device = recipe, spec, micro_batches, device
        self._compile = runtime.compile
        channels_last = uses_channels_last(runtime.channels_last, device, recipe.precision)
        self.layout = torch.channels_last_3d if channels_last else torch.preserve_format
        if device.type == "cpu":
            keep_freed_memory()
        self._benchmark = torch.backends.cudnn.benchmark
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = not runtime.deterministic  # all steps have the same shapes; until `finish`
        if recipe.precision == "bfloat16" and fastest_precision(device) != "bfloat16":
            logger.warning("%s has no bfloat16 instructions; float32 would be faster", device)
        if recipe.sync_batch_norm and processes().size > 1:
            network = synchronized(network, device)
        if recipe.gradient_checkpointing and runtime.compile:
            raise UserError(
                "recipe.compiled_checkpointing",
                "gradient_checkpointing does not work with runtime.compile; set one of them to false",
            )
        self.network = network.to(device)
        self._fixed_norms = freeze(self.network, recipe)
        self._put_in_training_mode()
        if channels_last:
            put_channels_last(self.network)
        self.optimizer, self._shares = make_optimizer(self.network, recipe)
        self.average: AveragedModel | None = None
        if recipe.ema is not None:
            self.average = AveragedModel(self.network, use_buffers=True)
        self._statistics = RunningStatistics(self.network) if micro_batches > 1 else None
        self.in_float32: list[str] | None = None  # convolutions that are wrong in bfloat16; known at the first step
        self._ready: nn.Module | None = None
        self._checkpointed = gradient_checkpointing.start(self.network) if recipe.gradient_checkpointing else []

    def run(self, batches: Iterable[Batch], seeds: Sequence[int], examples: int, rate: float) -> torch.Tensor:
        """Run a step over this process's micro-batches, each with a seed of the device's random numbers.

        `examples` are the clips of the step, over all micro-batches and processes.

        Returns:
            (3,) on the device, which may still be computing it; over all processes: mean loss, number of clips whose
            highest-scoring class is one of the highest of their target, gradient norm before clipping.
        """
        for group, share in zip(self.optimizer.param_groups, self._shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self.device)
        for number, (batch, seed) in enumerate(zip(batches, seeds, strict=True)):
            torch.manual_seed(seed)
            sums += self._accumulate_gradient(batch, examples, last=number == len(seeds) - 1)
        if self._statistics:
            sums = self._statistics.end_step(self.micro_batches, sums)
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.recipe.max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), self.recipe.max_grad_norm, norm)
        self.optimizer.step()
        if self.average is not None and self.recipe.ema is not None:
            _update_average(self.average, self.network, self.recipe.ema)
        return torch.cat([sums, norm.view(1)])

    def state(self) -> dict[str, Any]:
        """Everything to resume from: tensors, numbers and names."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        average = {"average": self.average.state_dict()} if self.average is not None else {}
        own = {"in_float32": self.in_float32, "device": device_name(self.device)}
        tensors: dict[str, Any] = to_cpu(state | average)
        return tensors | own

    def load(self, state: dict[str, Any]) -> None:
        """Load what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if state["device"] == device_name(self.device):  # else other convolutions are wrong
            self.in_float32 = state["in_float32"]
            keep_in_float32(self.network, self.in_float32 or ())

    def not_finite(self) -> str | None:
        """The name of a weight or running statistic, of the network or its average, that is NaN or infinite."""
        parameters = {name for name, _ in self.network.named_parameters()}
        states = [self.network.state_dict(), self.average.module.state_dict() if self.average is not None else {}]
        for name, tensor in chain.from_iterable(state.items() for state in states):
            checked = name in parameters or name.endswith(("running_mean", "running_var"))  # a mask may hold infinities
            if checked and not tensor.isfinite().all():
                return name
        return None

    def weights(self) -> Mapping[str, torch.Tensor]:
        """The weights that a training run of this length would end with: their moving average, if there is one."""
        return (self.average.module if self.average is not None else self.network).state_dict()

    def finish(
        self,
        clips: Iterable[torch.Tensor] = (),
        batches: int = 0,
        *,
        weights: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Leave the network ready to be saved: with the given weights, else with those of `weights`.

        Batch norm statistics are recomputed over so many batches of clips (precise batch norm); 0 leaves them.
        """
        gradient_checkpointing.stop(self._checkpointed)
        if weights is not None or self.average is not None:
            self.network.load_state_dict(weights or self.weights())
        if batches:
            from fvcore.nn.precise_bn import update_bn_stats

            self._put_in_training_mode()
            with self._autocast():
                update_bn_stats(self.network, clips, batches)
        release(self.network, self.in_float32 or ())
        torch.backends.cudnn.benchmark = self._benchmark  # or scores would depend on what was fastest just now
        if self._compile:
            torch.compiler.reset()  # or the fifth network of a process would not be compiled: 8 graphs a function
        self.network.to(memory_format=torch.contiguous_format)

    def _put_in_training_mode(self) -> None:
        self.network.train()
        for norm in self._fixed_norms:
            norm.eval()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _eager_if_ragged(self, clips: torch.Tensor) -> AbstractContextManager[Any]:
        """The last step may be smaller; compiling for it would take longer than the step."""
        ragged = self._compile and len(clips) != self._compiled_clips
        return torch.compiler.set_stance("force_eager") if ragged else nullcontext()

    def _accumulate_gradient(self, batch: Batch, examples: int, last: bool) -> torch.Tensor:
        """Add a micro-batch's share to the gradient; returns its share of the loss and the number of correct clips."""
        clips = batch.clips(self.device, self.spec, self.layout)
        targets = batch.targets.to(self.device, non_blocking=True)
        likely = targets == targets.amax(1, keepdim=True)  # not all classes of a soft target
        if self.recipe.mixup:
            clips, targets = mixup(clips, targets, self.recipe.mixup)
            likely |= likely.flip(0)
        network = self._ready or self._prepare(clips)
        own_statistics = self._statistics.of_micro_batch() if self._statistics else nullcontext()
        no_sync = network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext()
        with own_statistics, no_sync:
            with self._autocast(), self._eager_if_ragged(clips):
                logits = network(clips)
            if logits.shape != targets.shape:
                got, wanted = tuple(logits.shape), tuple(targets.shape)
                raise UserError("network.wrong_output", f"the network outputs {got} but the targets are {wanted}")
            smooth = self.recipe.label_smoothing
            loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smooth, reduction="sum")
            loss = loss / examples
            (loss * processes().size).backward()  # DistributedDataParallel takes the mean over the processes
        correct = (likely & (targets > 0)).gather(1, logits.argmax(1, keepdim=True))
        return torch.stack([loss.detach(), correct.sum().to(loss.dtype)])

    def _prepare(self, clips: torch.Tensor) -> nn.Module:
        """Set up what depends on the shape of the first clips: bfloat16 exceptions, compilation, DDP."""
        precision = self.recipe.precision
        check_tf32(self.network, clips, gradients=True)
        if precision != "float32" and self.in_float32 is None:
            wrong = wrong_convolutions(self.network, clips, precision, gradients=True)
            self.in_float32 = sorted(set().union(*gather(wrong)))
            keep_in_float32(self.network, self.in_float32)
        log_kept(self.in_float32 or [], precision, device_name(self.device))
        if self._compile:
            self.network.compile(dynamic=False)  # else the code for a shape would depend on the shapes before it
            self._compiled_clips = len(clips)
        self._ready = self.network
        if processes().size > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # older torch does not know the argument's new name
                self._ready = DistributedDataParallel(
                    self.network, broadcast_buffers=False, gradient_as_bucket_view=True
                )
        return self._ready


@torch.no_grad()
def _update_average(average: AveragedModel, network: nn.Module, decay: float) -> None:
    """What `AveragedModel.update_parameters` does, which waits for a GPU twice a step."""
    averages = [*average.module.parameters(), *average.module.buffers()]
    pairs = list(zip(averages, [*network.parameters(), *network.buffers()], strict=True))
    moving = [pair for pair in pairs if pair[0].is_floating_point()] if average.n_averaged else []
    if moving:
        torch._foreach_lerp_([own for own, _ in moving], [new for _, new in moving], 1 - decay)
    if copied := [pair for pair in pairs if not (moving and pair[0].is_floating_point())]:
        torch._foreach_copy_([own for own, _ in copied], [new for _, new in copied])
    average.n_averaged += 1  # on the CPU


def mixup(clips: torch.Tensor, targets: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (Zhang et al. 2018): mix each clip and its target with another's; one share from Beta(α, α) for all."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return clips.lerp(clips.flip(0), share), targets.lerp(targets.flip(0), share)
