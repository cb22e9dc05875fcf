"""Tensors of a weights file → a network: what fits is loaded, the head may be replaced, anything else is an error."""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from vidsemi.errors import UserError
from vidsemi.models.create import MODELS, R2PLUS1D, outline, wanted_input

WRAPPERS = ("module.", "network.", "model.")  # what DistributedDataParallel and other programs put before each name
COUNTERS = "num_batches_tracked"  # of batch norm; older files lack them, and nothing depends on them
SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """What became of the tensors of a network and a file.

    Attributes:
        loaded: taken from the file.
        replaced: of the head, which stays fresh.
        missing: counters that the file lacks.
        ignored: of the file, which the network does not have.
    """

    loaded: list[str]
    replaced: list[str]
    missing: list[str]
    ignored: list[str]

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
        UserError: tensors beside the head are missing or of other shapes, the file's network has more blocks, or
            values are no finite numbers; the network stays as it was.
    """
    wanted = network.state_dict()
    tensors = _renamed(tensors, wanted.keys())
    tensors.pop("n_averaged", None)  # a counter of torch's averaged models
    absent = [key for key in wanted if key not in tensors]
    whole = keep_head and all(key in tensors and tensors[key].shape == wanted[key].shape for key in head)
    fresh = [] if whole else [key for key in wanted if key in head]
    missing = [key for key in absent if key not in fresh and key.endswith(COUNTERS)]
    lost = [key for key in absent if key not in fresh and key not in missing]
    other = [key for key in wanted if key in tensors and key not in fresh and tensors[key].shape != wanted[key].shape]
    ignored = [key for key in tensors if key not in wanted]
    deeper = _more_blocks(ignored, wanted.keys())
    if lost or other or deeper:
        what = holds or identify(tensors)
        raise UserError(f"{file} does not fit {model}: {_misfit(tensors, wanted, lost, other, deeper, what)}")
    chosen = {key: tensors[key] for key in wanted if key in tensors and key not in fresh}
    for key, tensor in chosen.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise UserError(f"{file}: the tensor {key} is sparse, quantized or empty, which networks here are not")
        if tensor.is_floating_point() != wanted[key].is_floating_point():
            raise UserError(f"{file}: the tensor {key} is {tensor.dtype}, wanted {wanted[key].dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{file}: the tensor {key} has values that are not finite")
    if not any(tensor.is_meta for tensor in wanted.values()):
        network.load_state_dict(chosen, strict=False)
    return Loaded(list(chosen), fresh, missing, ignored)


def _more_blocks(ignored: list[str], wanted: Set[str]) -> list[str]:
    """Those of the file's tensors that continue a row of blocks of the network: of a deeper one of its kind.

    All that a shallower network has fits then, by name and by shape, and computes nonsense.
    """
    rows = {row for key in wanted for row in _rows_of_blocks(key)}
    return [key for key in ignored if rows & set(_rows_of_blocks(key))]


def _rows_of_blocks(key: str) -> list[str]:
    """What comes before the numbers in a name: `layer1.2.conv1.0.weight` is of `layer1` and of `layer1.2.conv1`."""
    parts = key.split(".")
    return [".".join(parts[:place]) for place, part in enumerate(parts) if part.isdecimal()]


def _renamed(tensors: Mapping[str, torch.Tensor], wanted: Set[str]) -> dict[str, torch.Tensor]:
    """The tensors with what others put before all names taken off, and what our wrappers put before them added."""
    names = {key: key for key in tensors}
    for prefix in WRAPPERS:
        if 2 * sum(name.startswith(prefix) for name in names.values()) > len(names):  # beside it may be counters
            names = {key: name.removeprefix(prefix) for key, name in names.items()}
    if not wanted & set(names.values()) and all(name.startswith("network.") for name in wanted):
        names = {key: f"network.{name}" for key, name in names.items()}
    return {name: tensors[key] for key, name in names.items()}


def _misfit(
    tensors: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    lost: list[str],
    other: list[str],
    deeper: list[str],
    holds: str | None,
) -> str:
    """What a file is and what was wanted, in one line."""
    parts = []
    if lost:
        parts.append(f"{len(lost)} of its {len(wanted)} tensors are not in the file, the first is {lost[0]}")
    if other:
        found, needed = (tuple(group[other[0]].shape) for group in (tensors, wanted))
        parts.append(f"{len(other)} have another shape, the first is {other[0]} with {found}, wanted {needed}")
    if deeper:
        parts.append(f"the file has more blocks, the first is of {deeper[0]}")
    hint = f"it holds {holds}" if holds else f"the file begins with {next(iter(tensors), 'nothing')}"
    return f"{' and '.join(parts)}; {hint}"


def identify(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Which network a state dict is of, the head aside; None if of none that is often taken for another.

    Those are the paper's, and torchvision's networks for videos and ResNets.
    """
    from vidsemi.models import zoo_torchvision

    shapes = {key: tensor.shape for key, tensor in tensors.items() if not key.endswith(COUNTERS)}
    others = [name for name in zoo_torchvision.names() if zoo_torchvision.is_video(name) or "resne" in name]
    for name in [*MODELS, *(f"torchvision/{other}" for other in others)]:
        wanted = wanted_input(name)
        frames = (wanted.frames if wanted else None) or (8 if name in R2PLUS1D else 1)
        state = outline(name, num_classes=2, frames=frames).state_dict()
        own = {
            key.removeprefix("network."): tensor.shape for key, tensor in state.items() if not key.endswith(COUNTERS)
        }
        if own.keys() == shapes.keys() and sum(own[key] != shapes[key] for key in own) <= 2:  # the head's two
            return name
    return None
