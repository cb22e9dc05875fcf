"""Networks as feature extractors: without the head they return the features of the layer before it."""

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.library_errors import first_line, needs_tensor_values


def head_name(spec: NetworkSpec) -> str:
    """The name of the head of a network; a UserError unless it is one linear layer with a bias."""
    owners = {key.rpartition(".")[0] for key in spec.head_keys}
    head = spec.meta_model.get_submodule(next(iter(owners))) if len(owners) == 1 else None
    if not isinstance(head, nn.Linear) or head.bias is None:
        keys = ", ".join(sorted(spec.head_keys)) or "none"
        raise UserError(
            "model.no_linear_head",
            f"{spec.model}: fc_only needs a head of one linear layer with a bias; its tensors per class are: {keys}",
        )
    return owners.pop()


def linear_layer(network: nn.Module, head: str) -> nn.Linear:
    """The head of a network, by the name that `head_name` returns."""
    layer = network.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    return layer


def remove_head(network: nn.Module, head: str) -> None:
    """Turn a network into a feature extractor in place: (N, 3, T, H, W) → (N, width)."""
    _replace_layer(network, head, nn.Identity())


def _replace_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own_name = name.rpartition(".")
    setattr(network.get_submodule(parent), own_name, layer)


def check_features(spec: NetworkSpec) -> None:
    """Check on the meta device that a network works as a feature extractor; a UserError if not."""
    head = head_name(spec)
    network, takes = spec.meta_model.eval(), spec.input
    linear = linear_layer(network, head)
    remove_head(network, head)
    try:
        features = network(torch.zeros(2, 3, takes.frames, takes.crop, takes.crop, device="meta"))
    except Exception as error:  # libraries raise whatever they like
        if needs_tensor_values(error):  # cannot run on the meta device; the first batch will tell
            return
        why = first_line(error)
        raise UserError("model.no_features", f"fc_only: {spec.model} fails without its head: {why}") from None
    finally:
        _replace_layer(network, head, linear)
    if not isinstance(features, torch.Tensor) or features.shape != (2, linear.in_features):
        width = linear.in_features
        raise UserError("model.no_features", f"fc_only: {spec.model} without its head does not return {width} features")
