"""A name → a network."""

import difflib
from collections.abc import Mapping

from torch import nn

from vidsemi.errors import UserError

MODELS = ["r2plus1d_10", "r2plus1d_18", "r2plus1d_34", "resnet18", "resnet50"]


def create_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, float] | None = None) -> nn.Module:
    """Build a network with fresh weights.

    Every network maps normalised clips (N, 3, T, H, W) to logits (N, num_classes) and has its head at `fc`.

    Args:
        name: one of `MODELS`.
        num_classes: outputs of the head.
        frames: clip length T it is made for.
        args: the network's own arguments, `{"width": 0.25}` for a narrow R(2+1)D.

    Raises:
        UserError: there is no such network, or it does not take these arguments.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(MODELS)}"
        raise UserError(f"there is no model '{name}'; {hint}")
    family, depth = name.rstrip("0123456789").rstrip("_"), int(name.removeprefix("r2plus1d_").removeprefix("resnet"))
    try:
        if family == "r2plus1d":
            from vidsemi.models.r2plus1d import R2Plus1D

            return R2Plus1D(depth, num_classes, frames, **(args or {}))
        from vidsemi.models.resnet import ImageResNet

        return ImageResNet(depth, num_classes, frames, **(args or {}))
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"the model '{name}' does not take these args: {dict(args or {})} ({error})") from None
