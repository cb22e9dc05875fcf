"""Tensors of a weights file → a network: what fits is loaded, the head may be replaced, anything else is an error."""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.registry import ADAPTED, MODELS, R2PLUS1D, outline, wanted_input

PREFIXES = ("module.", "network.", "model.")  # what DistributedDataParallel and other programs put before names
COUNTERS = "num_batches_tracked"  # of batch norm; older files lack them, and nothing depends on them
DERIVED = {"attn_mask", "relative_coords_table", "total_ops", "total_params"}  # floats that no training has set
SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """What became of the tensors of a network and a file.

    Attributes:
        loaded: taken from the file.
        replaced: of the head, which stays fresh.
        missing: counters that the file lacks.
        ignored: of the file, which the network does not have.
        unused: those of the ignored that a training has set.
    """

    loaded: list[str]
    replaced: list[str]
    missing: list[str]
    ignored: list[str]
    unused: list[str]

    def document(self) -> dict[str, Any]:
        """As JSON: the names, but for those that were loaded, which are counted."""
        return {**asdict(self), "loaded": len(self.loaded)}

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        for word, names in (("fresh", self.replaced), ("missing", self.missing), ("ignored", self.ignored)):
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
    """Load tensors into a network in place.

    Args:
        network: with fresh weights; one on the meta device is only compared.
        tensors: a state dict.
        head: names of the network's tensors that depend on the classes.
        keep_head: whether the head is taken from the file too, where all of it fits.
        file: where the tensors are from, for messages.
        model: name of the network, for messages.
        holds: name of the network that the tensors are of, where the file says so; for messages.

    Returns:
        What was loaded and what not.

    Raises:
        UserError: tensors beside the head are missing or of other shapes, the file's network has more layers, or
            values are no finite numbers; the network stays as it was.
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
    unused = [key for key in ignored if _is_weight(key, tensors[key])]
    more = [key for key in unused if _is_inside(key, wanted.keys(), head)]
    if lost or other or more:
        what = holds or identify(tensors)
        raise UserError(f"{file} does not fit {model}: {_misfit(tensors, wanted, lost, other, more, what)}")
    chosen = {key: tensors[key] for key in wanted if key in tensors and key not in fresh}
    for key, tensor in chosen.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise UserError(f"{file}: the tensor {key} is sparse, quantized or empty, which networks here are not")
        if tensor.is_floating_point() != wanted[key].is_floating_point() and not key.endswith(COUNTERS):
            raise UserError(f"{file}: the tensor {key} is {tensor.dtype}, wanted {wanted[key].dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{file}: the tensor {key} has values that are not finite")
    if not any(tensor.is_meta for tensor in wanted.values()):
        network.load_state_dict(chosen, strict=False)
    return Loaded(list(chosen), fresh, missing, ignored, unused)


def _is_weight(key: str, tensor: torch.Tensor) -> bool:
    """Whether a training has set a tensor; others follow from a network's shape, or count something."""
    return tensor.is_floating_point() and key.rpartition(".")[2] not in DERIVED


def _is_inside(key: str, wanted: Set[str], head: Set[str]) -> bool:
    """Whether a tensor that a network does not have is of a part that it does have: a block more, a layer in a block.

    All of a ResNet-50 is in the file of a ResNet-101, by name and by shape, and would compute nonsense. The head is
    another matter: it is replaced.
    """
    wrapper = ADAPTED if all(name.startswith(ADAPTED) for name in wanted) else ""
    parts = {name.removeprefix(wrapper).partition(".")[0] for name in wanted}
    layers = {name.rpartition(".")[0] for name in head}
    places = layers | {layer.rpartition(".")[0] for layer in layers if "." in layer.removeprefix(wrapper)}
    in_head = any(key.startswith(f"{place}.") for place in places)
    return key.removeprefix(wrapper).partition(".")[0] in parts and not in_head


def _renamed(tensors: Mapping[str, torch.Tensor], wanted: Set[str]) -> dict[str, torch.Tensor]:
    """The tensors by the network's names, as far as they have them.

    Other programs put something before all names, or most, and so do our wrappers. What fits best is taken.
    """
    attempts = [list(tensors)]
    for prefix in PREFIXES:
        if 2 * sum(name.startswith(prefix) for name in attempts[-1]) > len(tensors):
            attempts.append([name.removeprefix(prefix) for name in attempts[-1]])
    attempts += [[f"{ADAPTED}{name}" for name in names] for names in attempts]
    whole = [names for names in attempts if len(set(names)) == len(tensors)]  # no two became one
    best = max(whole, key=lambda names: len(wanted & set(names)))
    return dict(zip(best, tensors.values(), strict=True))


def _misfit(
    tensors: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    lost: list[str],
    other: list[str],
    more: list[str],
    holds: str | None,
) -> str:
    """What a file is and what was wanted, in one line."""
    parts = []
    if lost:
        parts.append(f"{len(lost)} of its {len(wanted)} tensors are not in the file, the first is {lost[0]}")
    if other:
        found, needed = (tuple(group[other[0]].shape) for group in (tensors, wanted))
        parts.append(f"{len(other)} have another shape, the first is {other[0]} with {found}, wanted {needed}")
    if more:
        parts.append(f"{len(more)} tensors of the file are of layers that it lacks, the first is {more[0]}")
    hint = f"it holds {holds}" if holds else f"the file begins with {next(iter(tensors), 'nothing')}"
    return f"{' and '.join(parts)}; {hint}"


def identify(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Which network a state dict is of, the head aside; None if of none that is often taken for another.

    Those are the paper's, and torchvision's networks for videos and ResNets.
    """
    from vidsemi.models.zoo import torchvision as zoo_torchvision

    shapes = {key: tensor.shape for key, tensor in tensors.items() if not key.endswith(COUNTERS)}
    others = [name for name in zoo_torchvision.names() if zoo_torchvision.is_video(name) or "resne" in name]
    for name in [*MODELS, *(f"torchvision/{other}" for other in others)]:
        wanted = wanted_input(name)
        frames = (wanted.frames if wanted else None) or (8 if name in R2PLUS1D else 1)
        state = outline(name, num_classes=2, frames=frames).state_dict()
        own = {key.removeprefix(ADAPTED): tensor.shape for key, tensor in state.items() if not key.endswith(COUNTERS)}
        if own.keys() == shapes.keys() and sum(own[key] != shapes[key] for key in own) <= 2:  # the head's two
            return name
    return None
