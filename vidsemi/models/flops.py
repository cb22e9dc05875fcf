"""What a network costs: parameters and multiply-adds, counted by fvcore."""

import warnings
from dataclasses import dataclass

import torch
from torch import nn

COUNTED = ("conv", "linear")  # fvcore's names; the convention of the paper's Table 7
CONVENTION = "multiply-adds of convolutions and linear layers, per view"


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: all trainable numbers.
        gmacs_per_view: billions of multiply-adds of one forward pass of one view.
    """

    parameters: int
    gmacs_per_view: float


def measure_cost(network: nn.Module, *, frames: int, size: int) -> Cost:
    """Count a network's parameters and the multiply-adds of one view of T = `frames` frames of size × size pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # fvcore's own use of torch.jit.script
        from fvcore.nn import FlopCountAnalysis

    device = next(network.parameters()).device
    was_training = network.training
    analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, 3, frames, size, size, device=device))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    operators = analysis.by_operator()
    network.train(was_training)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmacs_per_view=sum(operators[name] for name in COUNTED) / 1e9,
    )
