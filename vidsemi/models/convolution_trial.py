"""A trial of a network's convolutions before they are used: those that reduced precision gets wrong stay in float32.

Libraries compute some convolutions wrongly, without an error. With the oneDNN of torch 2.15, the weight gradients of a
3×1×1 convolution over two frames are wrong in bfloat16; with cuDNN 9.8 to 9.10 a 1×3×3 convolution, R(2+1)D's own, is
wrong in bfloat16 on an H100 (pytorch issue 163539). So each kind of convolution is computed once in the precision at
hand and once in float32, with inputs of the shape that it will get.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from vidsemi.models.modes import evaluating

logger = logging.getLogger("vidsemi")

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PERIOD = 65_521  # a prime, so that no two planes are alike
TOLERANCE = 0.05  # relative distance from float32; rounding alone makes 0.003
# In TF32, cuDNN 9.10.2 to 9.15 have "a broken kernel without clearly defined constraints" (pytorch PR 167024).
BROKEN_TF32 = range(91002, 91600)


@dataclass(frozen=True)
class _Trial:
    name: str
    layer: Convolution
    input: torch.Tensor  # on the meta device

    @property
    def kind(self) -> str:
        """Equal for convolutions with the same settings and input shape."""
        return f"{self.layer} {self.input.shape} {self.input.stride()}"


def wrong_convolutions(network: nn.Module, clips: torch.Tensor, precision: str, *, gradients: bool) -> list[str]:
    """Names of the convolutions that this device gets wrong in a precision.

    In "float32", GPUs compute in TF32 by default; everything is right on other devices. Costs about a pass in float32
    and one in the precision.

    Args:
        network: on the device of the clips; its mode, training or evaluation, is left as it is.
        clips: (N, 3, T, H, W), of the memory format of the passes to come, and best of their shape.
        precision: bfloat16, float16 or float32.
        gradients: try the gradients as well, those of the input and of the weight.
    """
    if precision == "float32" and clips.device.type != "cuda":
        return []
    trials = _trials(network, clips)
    firsts = {trial.kind: trial for trial in reversed(trials)}  # one trial for convolutions that are alike
    correct = {kind: _is_correct(trial, clips.device, precision, gradients) for kind, trial in firsts.items()}
    return [trial.name for trial in trials if not correct[trial.kind]]


def keep_in_float32(network: nn.Module, names: Iterable[str]) -> None:
    """Make layers compute in float32 under autocast, until `release`."""
    for name in names:
        _keep_in_float32(network.get_submodule(name))


def release(network: nn.Module, names: Iterable[str]) -> None:
    """Undo `keep_in_float32`."""
    for name in names:
        del network.get_submodule(name).forward


def log_kept(names: list[str], precision: str, device: str) -> None:
    """Log which convolutions stay in float32, in one line."""
    if names:
        logger.info(
            "%d convolutions stay in float32: %s gets them wrong in %s: %s",
            len(names),
            device,
            precision,
            ", ".join(names),
        )


def check_tf32(network: nn.Module, clips: torch.Tensor, *, gradients: bool) -> bool:
    """Turn TF32 off for the process if this GPU gets a convolution wrong in it, with a warning.

    Returns:
        Whether convolutions may use TF32; False on a CPU.
    """
    cudnn = torch.backends.cudnn
    if clips.device.type != "cuda" or not cudnn.allow_tf32:
        return False
    if (cudnn.version() or 0) in BROKEN_TF32:
        reason = f"cuDNN {cudnn.version()} is known to compute some convolutions wrongly in it"
    elif wrong := wrong_convolutions(network, clips, "float32", gradients=gradients):
        reason = f"this GPU computes {wrong[0]} wrongly in it"
    else:
        return True
    logger.warning("TF32 is turned off, so that float32 convolutions are slower: %s", reason)
    cudnn.allow_tf32 = False
    return False


def _trials(network: nn.Module, clips: torch.Tensor) -> list[_Trial]:
    """Every convolution, with the shape and memory format of its input."""
    trials: list[_Trial] = []
    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, Convolution):

            def note(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name, layer: Convolution = layer) -> None:
                trials.append(_Trial(name, layer, torch.empty_like(inputs[0], device="meta")))

            hooks.append(layer.register_forward_pre_hook(note))
    with torch.no_grad(), evaluating(network):  # not all modules need to be in the same mode: some may be frozen
        network(clips)
    for hook in hooks:
        hook.remove()
    return trials


def _is_correct(trial: _Trial, device: torch.device, precision: str, gradients: bool) -> bool:
    like = trial.input  # `empty_like` of a tensor on the meta device imports sympy, 0.6 s of a process's start
    x = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=device)
    _fill(x, seed=0)
    found, wanted = (
        _results(trial.layer, x, precision, gradients),
        _results(trial.layer, x, None, gradients),
    )
    return all((a - b).norm() <= TOLERANCE * b.norm() for a, b in zip(found, wanted, strict=True))  # false for NaN


def _results(layer: Convolution, x: torch.Tensor, precision: str | None, gradients: bool) -> list[torch.Tensor]:
    """Output, or gradients of input and weight, in float32; computed without TF32 if the precision is None."""
    autocast = torch.autocast(x.device.type, DTYPES.get(precision or ""), enabled=precision in DTYPES)
    with _tf32(precision is not None), torch.set_grad_enabled(gradients):
        x = x.detach().requires_grad_(gradients)
        with autocast:
            y = layer(x)
        if not gradients:
            return [y.float()]
        output_gradient = torch.empty_like(y)
        _fill(output_gradient, seed=1)
        inputs = (x, layer.weight) if layer.weight.requires_grad else (x,)  # not of a frozen layer
        return [gradient.float() for gradient in torch.autograd.grad(y, inputs, output_gradient)]


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = before and allowed
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@torch.no_grad()
def _fill(tensor: torch.Tensor, seed: int) -> None:
    """Fill a tensor with repeated random numbers; drawing all of them would take longer than the trial."""
    some = torch.randn(PERIOD, generator=torch.Generator().manual_seed(seed)).to(tensor.device)
    tensor.copy_(some.repeat(math.ceil(tensor.numel() / PERIOD))[: tensor.numel()].view(tensor.shape))


def _keep_in_float32(layer: nn.Module) -> None:
    forward = layer.forward

    def in_float32(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            out: torch.Tensor = forward(x.float())
        return out

    layer.forward = in_float32
