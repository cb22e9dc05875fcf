"""The cost of a network: parameters, multiply-adds and activations, counted by fvcore."""

import math
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from vidsemi.io.tables import markdown_table
from vidsemi.models.modes import evaluating
from vidsemi.models.registry import ADAPTER

# Convolutions, linear layers and matrix products count. For convolutional networks this is the convention of the
# paper's Table 7; with the products of attention it is also that of torchvision's tables.
MATRIX_PRODUCTS = {  # operators by which of their inputs is the left factor
    0: ("linear", "matmul", "mm", "bmm", "mv", "dot"),
    1: ("addmm", "addmv", "baddbmm"),
}
CONVENTION = "multiply-adds of convolutions, linear layers and attention, per view"


@dataclass(frozen=True)
class Cost:
    """The cost of one network.

    Args:
        parameters: number of weights.
        gmacs_per_view: billions of multiply-adds of one forward pass.
        activations_per_view: outputs of the counted operators.
        gmacs_by_group: `gmacs_per_view` by the topmost modules of which there are several.
        uncounted: norms, additions, activations and pooling, and how often each ran. fvcore silently skips some other
            operators: copies, views, ReLU, dropout.
    """

    parameters: int
    gmacs_per_view: float
    activations_per_view: int
    gmacs_by_group: dict[str, float]
    uncounted: dict[str, int]

    def document(self, views: int) -> dict[str, Any]:
        """Return it as JSON values, with the multiply-adds of a video.

        Args:
            views: clips × crops per video.

        Returns:
            the fields, `views`, `gmacs_per_video` and the convention of counting.
        """
        per_video = self.gmacs_per_view * views
        return {**asdict(self), "views": views, "gmacs_per_video": per_video, "convention": CONVENTION}

    def text(self, views: int) -> str:
        """Return it as lines and a table.

        Args:
            views: clips × crops per video.

        Returns:
            several lines, in Markdown.
        """
        uncounted = ", ".join(f"{name} ×{times}" for name, times in self.uncounted.items()) or "nothing"
        groups = [
            (name, f"{gmacs:.4g}", f"{100 * gmacs / self.gmacs_per_view:.1f}")
            for name, gmacs in self.gmacs_by_group.items()
        ]
        return "\n".join(
            [
                f"parameters      {self.parameters / 1e6:.2f}M",
                f"GMAC per view   {self.gmacs_per_view:.2f}",
                f"GMAC per video  {self.gmacs_per_view * views:.2f}  ({views} views)",
                f"activations     {self.activations_per_view / 1e6:.2f}M per view (outputs of the counted operators)",
                f"({CONVENTION})",
                "",
                *markdown_table(("layers", "GMAC per view", "%"), groups),
                "",
                f"not counted: {uncounted}",
            ]
        )


@torch.no_grad()  # else activations are kept for a backward pass: 2.6 GB for MViT v2 S
def measure_cost(network: nn.Module, *, frames: int, size: int) -> Cost:
    """Count the cost of one view of T = `frames` frames of size × size pixels, by running it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # fvcore's own use of torch.jit.script
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
        from fvcore.nn.jit_handles import conv_flop_jit, einsum_flop_jit

    device = next(network.parameters()).device
    clips = torch.zeros(1, 3, frames, size, size, device=device)
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fuses an attention layer into one operator that is not counted
    try:
        with evaluating(network):
            flops = FlopCountAnalysis(network, clips).clear_op_handles()
            flops.set_op_handle("aten::_convolution", conv_flop_jit, "aten::_convolution_mode", _convolution_mode)
            flops.set_op_handle("aten::einsum", einsum_flop_jit, "aten::scaled_dot_product_attention", _attention)
            outputs = ActivationCountAnalysis(network, clips)
            outputs.set_op_handle("aten::_convolution_mode", _output_size)
            outputs.set_op_handle("aten::scaled_dot_product_attention", _output_size)
            for left, names in MATRIX_PRODUCTS.items():
                for name in names:
                    flops.set_op_handle(f"aten::{name}", partial(_matrix_product, left))
                    outputs.set_op_handle(f"aten::{name}", _output_size)
            for analysis in (flops, outputs):
                analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            macs = flops.by_module()
            activations = outputs.total()
            missing = flops.unsupported_ops()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmacs_per_view=macs[""] / 1e9,
        activations_per_view=int(activations),
        gmacs_by_group=_by_group(macs),
        uncounted={name.removeprefix("aten::"): times for name, times in sorted(missing.items())},
    )


@torch.no_grad()
def quick_macs(network: nn.Module, *, frames: int, size: int) -> float:
    """Multiply-adds of one view as `measure_cost` counts them, by torch's own counter: also on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    clips = torch.zeros(1, 3, frames, size, size, device=next(network.parameters()).device)
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(network), FlopCounterMode(display=False) as counter:
            network(clips)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
    return float(counter.get_total_flops() / 2)


def _by_group(macs: Mapping[str, float]) -> dict[str, float]:
    """Billions of multiply-adds of the topmost modules of which there are several; the rest is "other"."""
    parent = ""
    while True:
        groups = {name: count for name, count in macs.items() if count and name and name.rpartition(".")[0] == parent}
        if len(groups) != 1 or not any(name.startswith(f"{next(iter(groups))}.") for name in macs):
            break
        parent = next(iter(groups))
    other = macs[""] - sum(groups.values())
    groups |= {"other": other} if other else {}
    return {name.removeprefix(ADAPTER): count / 1e9 for name, count in groups.items()}


def _shape(value: Any) -> list[int]:
    sizes: list[int] = value.type().sizes()
    return sizes


def _matrix_product(left: int, inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of a matrix product: for each output as many as the left factor has columns."""
    return Counter(product=math.prod(_shape(outputs[0])) * _shape(inputs[left])[-1])


def _convolution_mode(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of a convolution with padding="same": for each output as many as its kernel has weights."""
    return Counter(conv=math.prod(_shape(outputs[0])) * math.prod(_shape(inputs[1])[1:]))


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Multiply-adds of softmax(QKᵀ)V: queries × keys × the channels of both products."""
    query, key, value = (_shape(part) for part in inputs[:3])
    return Counter(attention=math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _output_size(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(outputs=math.prod(_shape(outputs[0])))
