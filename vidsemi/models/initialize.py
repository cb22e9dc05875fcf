"""Loads tensors into a network: those that fit are loaded, the head may be replaced, anything else is an error."""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.registry import ADAPTER, PAPER_MODELS, R2PLUS1D, meta_model, pretrained_config
from vidsemi.models.tensors import check_tensor

PREFIXES = ("module.", "network.", "model.")  # that DistributedDataParallel and other programs put before names
COUNTERS = "num_batches_tracked"  # of batch norm; older files lack them, and nothing depends on them
DERIVED = {"attn_mask", "relative_coords_table", "total_ops", "total_params"}  # floats that are not trained
SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """Names of the tensors of a network and a file, by what happened to them."""

    loaded: list[str]
    replaced: list[str]  # tensors of the head that keep their fresh values
    missing: list[str]  # counters that the file lacks
    ignored: list[str]  # tensors of the file that the network does not have
    unused: list[str]  # those of the ignored that were trained
    converted: list[str]  # tensors of another floating-point type than the network's, with that type

    def document(self) -> dict[str, Any]:
        """As JSON, with a count of the loaded tensors instead of their names."""
        return {**asdict(self), "loaded": len(self.loaded)}

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        words = (
            ("fresh", self.replaced),
            ("missing", self.missing),
            ("ignored", self.ignored),
            ("converted to the type of the network", self.converted),
        )
        for word, names in words:
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                parts.append(f"{word}: {', '.join(names[:SHOWN])}{more}")
        return "; ".join(parts)


def initialize(
    network: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    head: Set[str],
    keep_head: bool,
    file: str,
    model: str,
    holds: str | None = None,
) -> Loaded:
    """Load a state dict into a network in place; a network on the meta device is only compared.

    `head` names the tensors whose shapes depend on the number of classes; `keep_head` takes them from the file too, if
    they all fit. `file`, `model` and `holds`, the network that the file says it holds, are for messages.

    Raises:
        UserError: tensors outside the head are missing or have other shapes, the file's network has more layers, or
            values are not finite. The network is then unchanged.
    """
    wanted = network.state_dict()
    tensors = _renamed({key: tensor for key, tensor in tensors.items() if key != "n_averaged"}, wanted.keys())
    absent = [key for key in wanted if key not in tensors]
    whole = keep_head and all(key in tensors and tensors[key].shape == wanted[key].shape for key in head)
    fresh = [] if whole else [key for key in wanted if key in head]
    missing = [key for key in absent if key not in fresh and key.endswith(COUNTERS)]
    lost = [key for key in absent if key not in fresh and key not in missing]
    other = [key for key in wanted if key in tensors and key not in fresh and tensors[key].shape != wanted[key].shape]
    ignored = [key for key in tensors if key not in wanted]
    unused = [key for key in ignored if _is_trained(key, tensors[key])]
    more = [key for key in unused if _is_inside(key, wanted.keys(), head)]
    if lost or other or more:
        problem = _describe_mismatch(tensors, wanted, lost, other, more, holds or identify(tensors))
        raise UserError("weights.network_mismatch", f"{file} does not fit {model}: {problem}")
    chosen = {key: tensors[key] for key in wanted if key in tensors and key not in fresh}
    for key, tensor in chosen.items():
        check_tensor(tensor, key, file)
        if tensor.is_floating_point() != wanted[key].is_floating_point() and not key.endswith(COUNTERS):
            raise UserError(
                "weights.invalid_tensor", f"{file}: tensor {key} has type {tensor.dtype}, expected {wanted[key].dtype}"
            )
    if not any(tensor.is_meta for tensor in wanted.values()):
        network.load_state_dict(chosen, strict=False)
    converted = [
        f"{key} ({str(tensor.dtype).removeprefix('torch.')})"
        for key, tensor in chosen.items()
        if tensor.dtype != wanted[key].dtype and not key.endswith(COUNTERS)
    ]
    return Loaded(list(chosen), fresh, missing, ignored, unused, converted)


def _is_trained(key: str, tensor: torch.Tensor) -> bool:
    """Whether training sets a tensor; others follow from a network's shape, or count something."""
    return tensor.is_floating_point() and key.rpartition(".")[2] not in DERIVED


def _is_inside(key: str, wanted: Set[str], head: Set[str]) -> bool:
    """Whether a tensor that the network lacks belongs to a part that it has: one more block, or a layer in a block.

    A ResNet-101's file contains all of a ResNet-50 by name and shape, and would compute nonsense in one. Tensors of the
    head do not count, since the head may be replaced.
    """
    adapter = ADAPTER if all(name.startswith(ADAPTER) for name in wanted) else ""
    parts = {name.removeprefix(adapter).partition(".")[0] for name in wanted}
    layers = {name.rpartition(".")[0] for name in head}
    places = layers | {layer.rpartition(".")[0] for layer in layers if "." in layer.removeprefix(adapter)}
    in_head = any(key.startswith(f"{place}.") for place in places)
    return key.removeprefix(adapter).partition(".")[0] in parts and not in_head


def _renamed(tensors: Mapping[str, torch.Tensor], wanted: Set[str]) -> dict[str, torch.Tensor]:
    """The tensors under the network's names.

    Other programs prefix all names, or most, and so do our adapters. The renaming that matches most names is taken.
    """
    attempts = [list(tensors)]
    for prefix in PREFIXES:
        if 2 * sum(name.startswith(prefix) for name in attempts[-1]) > len(tensors):
            attempts.append([name.removeprefix(prefix) for name in attempts[-1]])
    attempts += [[f"{ADAPTER}{name}" for name in names] for names in attempts]
    distinct = [names for names in attempts if len(set(names)) == len(tensors)]
    best = max(distinct, key=lambda names: len(wanted & set(names)))
    return dict(zip(best, tensors.values(), strict=True))


def has_names_of(tensors: Mapping[str, torch.Tensor], network: nn.Module) -> bool:
    """Whether most tensors have names of the network, as they are or without a prefix."""
    wanted = network.state_dict().keys()
    return 2 * len(wanted & _renamed(tensors, wanted).keys()) > len(tensors)


def _describe_mismatch(
    tensors: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    lost: list[str],
    other: list[str],
    more: list[str],
    holds: str | None,
) -> str:
    parts = []
    if lost:
        parts.append(f"{len(lost)} of its {len(wanted)} tensors are not in the file, the first is {lost[0]}")
    if other:
        found, expected = (tuple(group[other[0]].shape) for group in (tensors, wanted))
        parts.append(f"{len(other)} have another shape, the first is {other[0]} with {found}, expected {expected}")
    if more:
        parts.append(f"the file has {len(more)} tensors of layers that it lacks, the first is {more[0]}")
    hint = f"the file holds {holds}" if holds else f"the file's first tensor is {next(iter(tensors), 'missing')}"
    return f"{' and '.join(parts)}; {hint}"


def identify(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Find which network a state dict belongs to, whatever its classes.

    Tries the paper's networks and torchvision's video networks and ResNets, which are easily mistaken for each other.
    """
    from vidsemi.models.zoo import torchvision as library

    shapes = {key: tensor.shape for key, tensor in tensors.items() if not key.endswith(COUNTERS)}
    others = [name for name in library.names() if library.is_video(name) or "resne" in name]
    for name in [*PAPER_MODELS, *(f"torchvision/{other}" for other in others)]:
        frames = pretrained_config(name).frames or (8 if name in R2PLUS1D else 1)
        state = meta_model(name, num_classes=2, frames=frames).state_dict()
        own = {key.removeprefix(ADAPTER): tensor.shape for key, tensor in state.items() if not key.endswith(COUNTERS)}
        if own.keys() == shapes.keys() and sum(own[key] != shapes[key] for key in own) <= 2:  # the head's two
            return name
    return None
