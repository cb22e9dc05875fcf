"""Gradient checkpointing: a layer's activations are computed again in the backward pass instead of being kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vidsemi.io.errors import UserError
from vidsemi.training.layers import layers_of


def start(network: nn.Module) -> list[nn.Module]:
    """Make the layers of a network keep only their inputs while it trains, until `stop`; returns those that do."""
    layers = [layer.module for layer in layers_of(network) if next(layer.module.children(), None) is not None]
    if not layers:
        raise UserError(
            "recipe.no_layers", "gradient_checkpointing: the network has no layers of several modules; set it to false"
        )
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)
    return layers


def stop(layers: list[nn.Module]) -> None:
    """Undo `start`."""
    for layer in layers:
        del layer.forward
    layers.clear()


def _forward(layer: nn.Module, forward: Callable[..., Any], *args: Any, **named: Any) -> Any:
    if not (layer.training and torch.is_grad_enabled()):
        return forward(*args, **named)
    inputs = [value for value in (*args, *named.values()) if isinstance(value, torch.Tensor)]
    versions = [one._version for one in inputs]
    result = checkpoint(
        forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _keeping_statistics(layer)), **named
    )
    if versions != [one._version for one in inputs]:  # the second pass would start from other values
        raise UserError(
            "recipe.changes_its_input",
            f"gradient_checkpointing: a layer ({type(layer).__name__}) changes its input in place; set it to false",
        )
    return result


@contextmanager
def _keeping_statistics(layer: nn.Module) -> Iterator[None]:
    """The second pass: batch norm counts its batch only once. With momentum 0 the statistics stay, to the bit."""
    norms = [module for module in layer.modules() if isinstance(module, _BatchNorm) and module.training]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    counts = [None if count is None else count.clone() for _, _, count in before]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for (norm, momentum, tracked), count in zip(before, counts, strict=True):
            norm.momentum = momentum
            if tracked is not None and count is not None:
                tracked.copy_(count)
