"""A network without its head: what it puts out then are the features of the layer before the head."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.registry import head_keys, outline
from vidsemi.runtime.library_errors import first_line, needs_tensor_values


def head_name(keys: Collection[str], network: nn.Module, name: str) -> str:
    """The name of the one linear layer that is a network's head.

    Args:
        keys: names of the tensors whose shapes depend on the number of classes.
        network: with the head on.
        name: of the network, for messages.

    Raises:
        UserError: the head is anything but one linear layer with a bias.
    """
    owners = {key.rpartition(".")[0] for key in keys}
    head = network.get_submodule(next(iter(owners))) if len(owners) == 1 else None
    if not isinstance(head, nn.Linear) or head.bias is None:
        what = f"consists of {', '.join(sorted(keys))}" if keys else "does not depend on the classes"
        raise UserError(
            f"{name}: its head is not one linear layer with a bias ({what}), so it gives no features for fc_only"
        )
    return owners.pop()


def linear_layer(network: nn.Module, head: str) -> nn.Linear:
    """The head of a network by the name that `head_name` gives."""
    layer = network.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    return layer


def take_head_off(network: nn.Module, head: str) -> None:
    """Put nothing in the place of the head, in place: (N, 3, T, H, W) → (N, width) features."""
    above, _, own = head.rpartition(".")
    setattr(network.get_submodule(above), own, nn.Identity())


def check_features(name: str, *, frames: int, size: int, args: Mapping[str, Any] | None = None) -> None:
    """Find out whether a network gives features, by one that has shapes and no numbers.

    Args:
        name: of the network.
        frames: clip length.
        size: side of the crop.
        args: of the network's own.

    Raises:
        UserError: it does not.
    """
    network = outline(name, num_classes=2, frames=frames, args=args).eval()
    head = head_name(head_keys(name, frames=frames, args=args), network, name)
    width = linear_layer(network, head).in_features
    take_head_off(network, head)
    try:
        features = network(torch.zeros(2, 3, frames, size, size, device="meta"))
    except Exception as error:  # networks of others say it in their own ways
        if needs_tensor_values(error):  # whether it works, the first batch will tell
            return
        raise UserError(
            f"{name} does not work without its head, so it gives no features for fc_only: {first_line(error)}"
        ) from None
    if not isinstance(features, torch.Tensor) or features.shape != (2, width):
        raise UserError(f"{name} puts out no features of {width} numbers without its head, as fc_only needs them")
