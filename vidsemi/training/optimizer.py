"""The optimizer of a recipe: which weights it moves, with which share of the learning rate, and which stay fixed."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidsemi.config import Recipe
from vidsemi.io.errors import UserError
from vidsemi.runtime.registry import nearest
from vidsemi.training.layers import depths_of, layers_of


def make_optimizer(network: nn.Module, recipe: Recipe) -> tuple[torch.optim.Optimizer, list[float]]:
    """The optimizer, and the share of the learning rate that each of its groups of parameters has."""
    groups, shares = _parameter_groups(network, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.peak_rate), shares
    sgd = torch.optim.SGD(groups, recipe.peak_rate, momentum=recipe.momentum, nesterov=recipe.nesterov)
    return sgd, shares


def _parameter_groups(network: nn.Module, recipe: Recipe) -> tuple[list[dict[str, Any]], list[float]]:
    layers = [([*network.parameters()], 1.0)]
    if recipe.layer_decay < 1:
        found = layers_of(network)
        depths = depths_of(found)
        layers = [
            (layer.parameters, recipe.layer_decay ** (depths[-1] - depth))
            for layer, depth in zip(found, depths, strict=True)
        ]
    groups, shares = [], []
    for parameters, share in layers:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        kernels = [one for one in trained if one.ndim > 1 or not recipe.no_decay_norm_and_bias]
        others = [one for one in trained if one.ndim <= 1 and recipe.no_decay_norm_and_bias]
        for params, decay in ((kernels, recipe.weight_decay), (others, 0.0)):
            if params:
                groups.append({"params": params, "weight_decay": decay})
                shares.append(share)
    return groups, shares


def freeze(network: nn.Module, recipe: Recipe) -> list[nn.Module]:
    """Fix the weights that a recipe does not train; returns the batch norms whose statistics stay fixed, too.

    Raises:
        UserError: the network has no module of the name `freeze_until`, nothing before it, or nothing after it.
    """
    fixed = modules_before(network, recipe.freeze_until) if recipe.freeze_until else []
    norms = [module for module in (network.modules() if recipe.frozen_batch_norm else fixed) if _is_norm(module)]
    for module in [*fixed, *(norms if recipe.frozen_batch_norm else ())]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = False
    return norms


def modules_before(network: nn.Module, name: str) -> list[nn.Module]:
    """The modules that a network lists before one of a name, and those around it; some of each have weights."""
    modules = dict(network.named_modules())
    if name not in modules or not name:
        near = nearest(name, [*modules])
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        known = ", ".join(own for own, _ in network.named_children())
        raise UserError(
            "recipe.unknown_module", f"freeze_until: the network has no module '{name}'{hint}; it has {known}, …"
        )
    before = list(modules.values())[: list(modules).index(name)]
    fixed = {id(parameter) for module in before for parameter in module.parameters(recurse=False)}
    if not fixed:
        raise UserError("recipe.nothing_frozen", f"freeze_until: nothing comes before '{name}'; leave the key out")
    if all(id(parameter) in fixed for parameter in network.parameters()):
        raise UserError("recipe.all_frozen", f"freeze_until: no weights come after '{name}', so nothing is trained")
    return before


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)
