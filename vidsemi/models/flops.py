"""What a network costs: parameters, multiply-adds and activations, counted by fvcore."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from vidsemi.models.registry import ADAPTED

# Convolutions, linear layers and products of matrices count. For convolutional networks this is the convention of the
# paper's Table 7; with the products of attention it is also that of torchvision's tables. Of each product of matrices,
# which of its inputs is the left factor.
PRODUCTS = {
    "aten::linear": 0,
    "aten::matmul": 0,
    "aten::mm": 0,
    "aten::bmm": 0,
    "aten::mv": 0,
    "aten::dot": 0,
    "aten::addmm": 1,
    "aten::addmv": 1,
    "aten::baddbmm": 1,
}
CONVENTION = "multiply-adds of convolutions, linear layers and attention, per view"


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: all trainable numbers.
        gmacs_per_view: billions of multiply-adds of one forward pass of one view.
        activations_per_view: numbers that the counted operators put out.
        gmacs_by_group: the multiply-adds by group of layers: the uppermost modules of which there is more than one.
        uncounted: operators that have no count, and how often they ran: norms, additions, activations, pooling. fvcore
            passes over some without a word: copies, views and the like, ReLU, dropout.
    """

    parameters: int
    gmacs_per_view: float
    activations_per_view: int
    gmacs_by_group: dict[str, float]
    uncounted: dict[str, int]


def measure_cost(network: nn.Module, *, frames: int, size: int) -> Cost:
    """Count what one view of T = `frames` frames of size × size pixels costs, by running it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # fvcore's own use of torch.jit.script
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
        from fvcore.nn.jit_handles import conv_flop_jit, einsum_flop_jit

    device = next(network.parameters()).device
    clips = torch.zeros(1, 3, frames, size, size, device=device)
    was_training = network.training
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole layer of attention, without a count
    try:
        flops = FlopCountAnalysis(network.eval(), clips).clear_op_handles()
        flops.set_op_handle("aten::_convolution", conv_flop_jit, "aten::_convolution_mode", _convolution_mode)
        flops.set_op_handle("aten::einsum", einsum_flop_jit, "aten::scaled_dot_product_attention", _attention)
        outputs = ActivationCountAnalysis(network, clips)
        outputs.set_op_handle("aten::_convolution_mode", _numbers_out)
        outputs.set_op_handle("aten::scaled_dot_product_attention", _numbers_out)
        for name, place in PRODUCTS.items():
            flops.set_op_handle(name, partial(_product, place))
            outputs.set_op_handle(name, _numbers_out)
        for analysis in (flops, outputs):
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        macs = flops.by_module()
        activations = outputs.total()
        missing = flops.unsupported_ops()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        network.train(was_training)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmacs_per_view=macs[""] / 1e9,
        activations_per_view=int(activations),
        gmacs_by_group=_by_group(macs),
        uncounted={name.removeprefix("aten::"): times for name, times in sorted(missing.items())},
    )


def _by_group(macs: Mapping[str, float]) -> dict[str, float]:
    """Billions of multiply-adds of the uppermost modules of which there is more than one; what is left is "other"."""
    above = ""
    while True:
        groups = {name: count for name, count in macs.items() if count and name and name.rpartition(".")[0] == above}
        if len(groups) != 1 or not any(name.startswith(f"{next(iter(groups))}.") for name in macs):
            break
        above = next(iter(groups))
    other = macs[""] - sum(groups.values())
    groups |= {"other": other} if other else {}
    return {name.removeprefix(ADAPTED): count / 1e9 for name, count in groups.items()}


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _product(place: int, inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of a product: for each number that comes out as many as the last side of the left factor has."""
    return Counter(product=math.prod(_shape(outputs[0])) * _shape(inputs[place])[-1])


def _convolution_mode(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of a convolution whose padding is a word ("same"): the kernel's numbers for each that comes out."""
    return Counter(conv=math.prod(_shape(outputs[0])) * math.prod(_shape(inputs[1])[1:]))


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of softmax(QKᵀ)V: queries × keys × the planes of both products."""
    query, key, value = (_shape(part) for part in inputs[:3])
    return Counter(attention=math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _numbers_out(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(outputs=math.prod(_shape(outputs[0])))
