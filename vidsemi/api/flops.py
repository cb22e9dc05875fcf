"""`flops`: what a network costs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from vidsemi.api.arguments import check_count
from vidsemi.api.model import Model
from vidsemi.api.specs import Classes, OwnSpec, spec_of
from vidsemi.io.errors import UserError
from vidsemi.models.flops import Cost, measure_cost
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.library_errors import first_line


def flops(
    model: Model | str,
    *,
    frames: int | None = None,
    size: int | None = None,
    classes: Classes | None = None,
    args: Mapping[str, Any] | None = None,
) -> Cost:
    """Count the parameters, multiply-adds and activations of a network for one view.

    Multiply-adds of convolutions, linear layers and attention count, as in the paper's tables.

    Args:
        model: a network, or the name of one; `list_models` lists the names.
        frames: clip length T; by default the model's, or that of the pretrained config.
        size: side of the crop; by default the model's, or that of the pretrained config, or 112.
        classes: outputs of a network that is given by its name, 400 by default.
        args: the network's own arguments, such as {"width": 0.25}, if it is given by its name.

    Returns:
        the cost; `cost.gmacs_per_view` are billions of multiply-adds.

    Raises:
        UserError: the network's name is unknown, or it does not take such clips.
    """
    if not isinstance(model, Model):
        return cost_of_name(model, 400 if classes is None else classes, frames=frames, size=size, args=args)[1]
    if classes is not None or args is not None:
        raise UserError("flops.unused_argument", "a model has its classes and args; leave them out")
    own = model.input
    clip = replace(own, frames=_side("frames", frames, own.frames), crop=_side("size", size, own.crop))
    return _measure(model.network, replace(model.spec, input=clip))


def cost_of_name(
    name: str, classes: Classes, *, frames: int | None, size: int | None, args: Mapping[str, Any] | None
) -> tuple[NetworkSpec, Cost]:
    """The spec of a network with its cost; arguments as for `flops`."""
    if size is not None:
        check_count("size", size, 10_000)
    spec = spec_of(name, classes, OwnSpec(frames, size, stride=1, resize=size, args=args))  # the stride costs nothing
    return spec, _measure(spec.build(), spec)


def _side(name: str, value: int | None, default: int) -> int:
    return default if value is None else check_count(name, value, 10_000)


def _measure(network: nn.Module, spec: NetworkSpec) -> Cost:
    frames, size = spec.input.frames, spec.input.crop
    try:
        return measure_cost(network, frames=frames, size=size)
    except (RuntimeError, MemoryError) as error:
        why = first_line(error)
        raise UserError("model.failed", f"{spec} fails on a view of {frames} frames of {size}×{size}: {why}") from None
