"""The layers of a network in its own order, as learning rates by layer and gradient checkpointing divide it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A part of a network: a block of a series of blocks, or what stands before, between or after them."""

    name: str
    module: nn.Module
    is_block: bool
    parameters: list[nn.Parameter]


def layers_of(network: nn.Module) -> list[Layer]:
    """The layers with weights, in the order in which the network lists its modules.

    A series is a list of modules of which two or more are alike and have modules of their own, such as the layers of a
    transformer or the residual blocks of a stage. Modules that contain one are divided, others are one layer. Weights
    of a divided module itself, such as position embeddings, count to the layer after them.
    """
    found: list[Layer] = []
    seen: set[int] = set()
    for name, module, is_block, parents in _walk(network, "", []):
        parameters = [*parents, *module.parameters()]
        own = [parameter for parameter in parameters if id(parameter) not in seen]
        seen.update(map(id, own))
        if own:
            found.append(Layer(name, module, is_block, list({id(parameter): parameter for parameter in own}.values())))
    return found


def depths_of(layers: list[Layer]) -> list[int]:
    """The depth of each layer: 0 before the first block, then one more for each, and one more for all after the last.

    Without blocks each layer has a depth of its own.
    """
    blocks = [number for number, layer in enumerate(layers) if layer.is_block]
    if not blocks:
        return list(range(len(layers)))
    first, last = blocks[0], blocks[-1]
    return [min(max(number - first + 1, 0), last - first + 2) for number in range(len(layers))]


Place = tuple[str, nn.Module, bool, list[nn.Parameter]]


def _walk(module: nn.Module, name: str, parents: list[nn.Parameter]) -> Iterator[Place]:
    """The parts of a module; `parents` are the weights of divided modules before the next part, which takes them."""
    parents.extend(module.parameters(recurse=False))
    alike = _alike(module)
    for own_name, child in module.named_children():
        path = f"{name}.{own_name}" if name else own_name
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or any(_alike(part) for part in child.modules()):
            yield from _walk(child, path, parents)
        else:
            yield path, child, type(child) in alike, [*parents]
            parents.clear()


def _alike(module: nn.Module) -> set[type[nn.Module]]:
    """The classes of which a series has two or more modules; none of a module that is not a series."""
    if not isinstance(module, nn.Sequential | nn.ModuleList):
        return set()
    counts = Counter(type(child) for child in module.children() if next(child.children(), None) is not None)
    return {kind for kind, count in counts.items() if count > 1}
