"""Which convolutions may be trained in bfloat16.

oneDNN, as torch 2.15 has it for CPUs, gives a 3x1x1 convolution over two frames weight gradients that are not those of
its input, or not finite, in bfloat16 alone. So each convolution is tried on what it will meet, and those that fail stay
in float32.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
PERIOD = 65_521  # a prime, so that no two planes are alike
TOLERANCE = 0.05  # relative distance of a gradient from that in float32; rounding alone makes 0.003


@dataclass(frozen=True)
class _Trial:
    name: str
    layer: Convolution
    input: torch.Tensor  # without values

    @property
    def kind(self) -> str:
        """The same for all with the same settings and input."""
        return f"{self.layer} {self.input.shape} {self.input.stride()}"


def wrong_in_bfloat16(network: nn.Module, clips: torch.Tensor) -> list[str]:
    """The convolutions whose gradients in bfloat16 are wrong on this device.

    Args:
        network: in training mode.
        clips: (N, 3, T, H, W) as in training.

    Returns:
        Their names.
    """
    if clips.device.type != "cpu":
        return []
    right: dict[str, bool] = {}  # one trial for convolutions that are alike
    trials = _trials(network, clips)
    for trial in trials:
        if trial.kind not in right:
            right[trial.kind] = _right_in_bfloat16(trial)
    return [trial.name for trial in trials if not right[trial.kind]]


def keep_in_float32(network: nn.Module, names: Iterable[str]) -> None:
    """Have layers compute in float32 whatever autocast says, until `release`."""
    for name in names:
        _keep_in_float32(network.get_submodule(name))


def release(network: nn.Module, names: Iterable[str]) -> None:
    """Let layers compute as they did before `keep_in_float32`."""
    for name in names:
        del network.get_submodule(name).forward


def _trials(network: nn.Module, clips: torch.Tensor) -> list[_Trial]:
    """Every convolution with the shape and layout of what it gets."""
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


def _right_in_bfloat16(trial: _Trial) -> bool:
    x = torch.empty_like(trial.input, device="cpu")
    _fill(x, seed=0)
    x.requires_grad_()
    with torch.no_grad():
        slope = torch.empty_like(trial.layer(x))
        _fill(slope, seed=1)
    found = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = trial.layer(x)
        found.append(torch.autograd.grad(y, (x, trial.layer.weight), slope.to(y.dtype)))
    return all((a - b).norm() <= TOLERANCE * b.norm() for a, b in zip(*found, strict=True))  # not so if it is NaN


def _fill(tensor: torch.Tensor, seed: int) -> None:
    """Put random numbers into a tensor, the same ones again and again: to draw all would take longer than the trial."""
    some = torch.randn(PERIOD, generator=torch.Generator().manual_seed(seed))
    tensor.copy_(some.repeat(-(-tensor.numel() // PERIOD))[: tensor.numel()].view(tensor.shape))


def _keep_in_float32(layer: nn.Module) -> None:
    forward = layer.forward

    def in_float32(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())

    layer.forward = in_float32
