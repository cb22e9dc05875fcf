"""Mixed precision on CPUs: a self-test that finds convolutions with wrong bfloat16 gradients and keeps them in float32.

With the oneDNN of torch 2.15, the weight gradients of a 3×1×1 convolution over two frames are wrong or not finite in
bfloat16. So before the first step each convolution is tested with inputs of the shape that it will get.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
PERIOD = 65_521  # a prime, so that no two planes are alike
TOLERANCE = 0.05  # relative distance of a gradient from the float32 one; rounding alone makes 0.003


@dataclass(frozen=True)
class _Trial:
    name: str
    layer: Convolution
    input: torch.Tensor  # without values

    @property
    def kind(self) -> str:
        """Equal for convolutions with the same settings and input shape."""
        return f"{self.layer} {self.input.shape} {self.input.stride()}"


def wrong_in_bfloat16(network: nn.Module, clips: torch.Tensor) -> list[str]:
    """Names of the convolutions whose bfloat16 gradients are wrong on this CPU; none on other devices.

    The network is in training mode; the clips, (N, 3, T, H, W), have the shape used in training.
    """
    if clips.device.type != "cpu":
        return []
    trials = _trials(network, clips)
    firsts = {trial.kind: trial for trial in reversed(trials)}  # one trial for convolutions that are alike
    correct = {kind: _is_correct_in_bfloat16(trial) for kind, trial in firsts.items()}
    return [trial.name for trial in trials if not correct[trial.kind]]


def keep_in_float32(network: nn.Module, names: Iterable[str]) -> None:
    """Make layers compute in float32 under autocast, until `release`."""
    for name in names:
        _keep_in_float32(network.get_submodule(name))


def release(network: nn.Module, names: Iterable[str]) -> None:
    """Undo `keep_in_float32`."""
    for name in names:
        del network.get_submodule(name).forward


def _trials(network: nn.Module, clips: torch.Tensor) -> list[_Trial]:
    """Every convolution, with the shape and layout of its input."""
    trials: list[_Trial] = []
    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, Convolution):

            def note(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name, layer: Convolution = layer) -> None:
                trials.append(_Trial(name, layer, torch.empty_like(inputs[0], device="meta")))

            hooks.append(layer.register_forward_pre_hook(note))
    with torch.no_grad():
        network.eval()(clips)
    network.train()
    for hook in hooks:
        hook.remove()
    return trials


def _is_correct_in_bfloat16(trial: _Trial) -> bool:
    x = torch.empty_like(trial.input, device="cpu")
    _fill(x, seed=0)
    x.requires_grad_()
    with torch.no_grad():
        output_gradient = torch.empty_like(trial.layer(x))
        _fill(output_gradient, seed=1)
    gradients = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = trial.layer(x)
        gradients.append(torch.autograd.grad(y, (x, trial.layer.weight), output_gradient.to(y.dtype)))
    return all((a - b).norm() <= TOLERANCE * b.norm() for a, b in zip(*gradients, strict=True))  # false for NaN


def _fill(tensor: torch.Tensor, seed: int) -> None:
    """Fill a tensor with repeated random numbers; drawing all of them would take longer than the trial."""
    some = torch.randn(PERIOD, generator=torch.Generator().manual_seed(seed))
    tensor.copy_(some.repeat(math.ceil(tensor.numel() / PERIOD))[: tensor.numel()].view(tensor.shape))


def _keep_in_float32(layer: nn.Module) -> None:
    forward = layer.forward

    def in_float32(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())

    layer.forward = in_float32
