"""A name → a network: the paper's own by plain names, those of a zoo as `torchvision/…`, `pytorchvideo/…`, `timm/…`."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.pretrained_cfg import WantedInput
from vidsemi.runtime.library_errors import first_line

R2PLUS1D = [f"r2plus1d_{depth}" for depth in (10, 18, 34, 50, 101, 152)]
RESNETS = [
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_32x16d",
    "resnext101_32x48d",
]
MODELS = [*R2PLUS1D, *RESNETS]  # the paper's
ZOOS = ("torchvision", "pytorchvideo", "timm")
ADAPTED = "network."  # before the names of all tensors where a network of a zoo stands inside a module of ours

# Arguments of zoos that would load weights unseen; those come from `init_from`, which looks at them.
NOT_ARGS = {"weights", "weights_backbone", "pretrained", "progress", "checkpoint_path", "pretrained_cfg", "cache_dir"}
NOT_ARGS |= {"pretrained_cfg_overlay", "num_classes", "model_num_class", "head_num_classes"}


def create_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network with fresh weights.

    Every network maps normalised clips (N, 3, T, H, W) to logits (N, num_classes).

    Args:
        name: one of `MODELS`, or a zoo and one of its networks: `torchvision/mvit_v2_s`.
        num_classes: outputs of the head.
        frames: clip length T it is made for.
        args: the network's own arguments, `{"width": 0.25}` for a narrow R(2+1)D, `{"stem": "cifar"}` for a ResNet.

    Raises:
        UserError: there is no such network, or it does not take these arguments.
    """
    args = dict(args or {})
    check_model(name)
    if refused := sorted(NOT_ARGS & args.keys()):
        why = "the classes are those of the data" if "num_class" in refused[0] else "weights come from `init_from`"
        raise UserError(f"the model '{name}' does not take the arg {refused[0]}: {why}")
    try:
        zoo = zoo_of(name)
        if zoo is not None:
            own = name.partition("/")[2]
            network = zoo.build(own, num_classes, frames, args)
            return network if zoo.is_video(own) else OfImages(network, name, frames)
        if name in R2PLUS1D:
            from vidsemi.models.r2plus1d import R2Plus1D

            return R2Plus1D(int(name.removeprefix("r2plus1d_")), num_classes, frames, **args)
        from vidsemi.models.resnet import ImageResNet

        return ImageResNet(name, num_classes, frames, **args)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, LookupError) as error:
        raise UserError(f"the model '{name}' does not take these args: {args} ({first_line(error)})") from None


def outline(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """The same network without memory for its weights: on the meta device, where only shapes are computed.

    Some networks of zoos look at numbers while they are built, so these are built in memory first. No random number is
    drawn that anybody would miss.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return create_model(name, num_classes=num_classes, frames=frames, args=args)
        except UserError:
            if zoo_of(name) is None:
                raise
        return create_model(name, num_classes=num_classes, frames=frames, args=args).to("meta")


def head_keys(name: str, *, frames: int, args: Mapping[str, Any] | None = None) -> set[str]:
    """Names of the tensors whose shapes depend on the number of classes."""
    two, three = (outline(name, num_classes=classes, frames=frames, args=args).state_dict() for classes in (2, 3))
    return {key for key in two if two[key].shape != three[key].shape}


def zoo_of(name: str) -> ModuleType | None:
    """The module of a name's zoo; None for the paper's networks.

    Such a module has `names()`, and for each of these names `is_video`, `wanted`, `weights` and `build`.
    """
    zoo, slash, _ = name.partition("/")
    return import_module(f"vidsemi.models.zoo.{zoo}") if slash and zoo in ZOOS else None


def check_model(name: str) -> None:
    """Refuse a network that does not exist, with the nearest names.

    Raises:
        UserError: it does not.
    """
    zoo = zoo_of(name)
    prefix = name.partition("/")[0] + "/" if zoo else ""
    known = [prefix + own for own in zoo.names()] if zoo else MODELS
    if name in known:
        return
    if zoo is None and "/" not in name:  # perhaps the zoo was left out
        known = MODELS + [f"{other}/{own}" for other in ZOOS for own in _names(other)]
    same = [other for other in known if name and other.partition("/")[2] == name]
    near = same or difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(repr(other) for other in near)}?" if near else "`vidsemi models` lists them"
    raise UserError(f"there is no model '{name}'; {hint}")


def _names(zoo: str) -> list[str]:
    try:
        return import_module(f"vidsemi.models.zoo.{zoo}").names()
    except UserError:  # an extra that is not installed
        return []


def wanted_input(name: str) -> WantedInput | None:
    """What a network of a zoo was made for; None for the paper's networks, which take what the config says.

    Raises:
        UserError: there is no such network.
    """
    check_model(name)
    zoo = zoo_of(name)
    return None if zoo is None else zoo.wanted(name.partition("/")[2])


class OfImages(nn.Module):
    """A network of images that is called like one of videos, with clips of one frame."""

    def __init__(self, network: nn.Module, name: str, frames: int):
        if frames != 1:
            raise UserError(f"{name} takes images: set its frames to 1, not {frames}")
        super().__init__()
        self.network = network

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 1, H, W) normalised float → (N, classes) logits."""
        return self.network(clips.squeeze(2))
