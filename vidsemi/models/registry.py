"""Networks by name: the paper's own, and those of model libraries as `torchvision/…`, `pytorchvideo/…`, `timm/…`."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.pretrained_cfg import PretrainedConfig, check_one_frame
from vidsemi.runtime.library_errors import first_line

R2PLUS1D = [f"r2plus1d_{depth}" for depth in (10, 18, 34, 50, 101, 152)]
RESNETS = ["resnet18", "resnet50", "resnext50_32x4d", *(f"resnext101_32x{planes}d" for planes in (4, 8, 16, 48))]
PAPER_MODELS = [*R2PLUS1D, *RESNETS]
LIBRARIES = ("torchvision", "pytorchvideo", "timm")
ADAPTER = "network."  # prefix of all tensor names where an adapter of ours wraps a library's network

# Arguments of libraries that would load weights unseen; weights come from `init_from`, which checks them.
REFUSED_ARGS = {"weights", "weights_backbone", "pretrained", "progress", "checkpoint_path", "pretrained_cfg"}
REFUSED_ARGS |= {"cache_dir", "pretrained_cfg_overlay", "num_classes", "model_num_class", "head_num_classes"}


def create_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network with fresh weights, which maps normalized clips (N, 3, T, H, W) to logits (N, num_classes).

    Its name is one of `PAPER_MODELS`, or a model library and one of its networks: `torchvision/mvit_v2_s`. `args` are
    the network's own arguments, such as `{"width": 0.25}` for a narrow R(2+1)D or `{"stem": "cifar"}` for a ResNet. A
    network that does not exist or take them is a UserError.
    """
    args = dict(args or {})
    check_name(name)
    if refused := sorted(REFUSED_ARGS & args.keys()):
        why = "the data determine the classes" if "num_class" in refused[0] else "use `init_from` for weights"
        raise UserError("model.refused_arg", f"model '{name}' does not take the arg {refused[0]}: {why}")
    try:
        library, own_name = _library(name)
        if library is not None:
            network = library.build(own_name, num_classes, frames, args)
            return network if library.is_video(own_name) else ImageAdapter(network, name, frames)
        if name in R2PLUS1D:
            from vidsemi.models.r2plus1d import R2Plus1D

            return R2Plus1D(int(name.removeprefix("r2plus1d_")), num_classes, frames, **args)
        from vidsemi.models.resnet import ImageResNet

        return ImageResNet(name, num_classes, frames, **args)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, LookupError) as error:
        why = first_line(error)
        raise UserError("model.invalid_args", f"model '{name}' cannot be built with args {args}: {why}") from None


def meta_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network on the meta device: shapes without memory.

    Some library networks read tensor values while they are built, so these are built on the CPU first. The global
    random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return create_model(name, num_classes=num_classes, frames=frames, args=args)
        except UserError:
            if name in PAPER_MODELS:
                raise
        return create_model(name, num_classes=num_classes, frames=frames, args=args).to("meta")


def check_name(name: str) -> None:
    """Raise `UserError` with the nearest names if there is no such network."""
    library, own_name = _library(name)
    known = library.names() if library else PAPER_MODELS
    if own_name in known:
        return
    if library:
        candidates = [f"{name.partition('/')[0]}/{other}" for other in known]
    elif "/" in name:
        candidates = PAPER_MODELS
    else:  # perhaps the library was left out
        candidates = PAPER_MODELS + [f"{prefix}/{other}" for prefix in LIBRARIES for other in _installed_names(prefix)]
    same = [other for other in candidates if name and other.partition("/")[2] == name]
    near = same or difflib.get_close_matches(name, candidates, n=3)
    hint = f"did you mean {' or '.join(repr(other) for other in near)}?" if near else "`vidsemi models` lists them"
    raise UserError("model.unknown", f"there is no model '{name}'; {hint}")


def pretrained_config(name: str) -> PretrainedConfig | None:
    """The input that a library's network was made for; None for the paper's, which take what the config says."""
    check_name(name)
    library, own_name = _library(name)
    return library.pretrained_config(own_name) if library else None


def list_models(pattern: str | None = None) -> list[dict[str, Any]]:
    """List the networks whose names contain a text, or the one whose name it is; the paper's come first.

    Each has its name, frames, stride, resize and crop (None: left to the config), and the addresses of published
    weights. timm's are left out where it is not installed, unless the pattern asks for them: then that is a UserError.
    """
    own = {name: PretrainedConfig(frames=1 if name in RESNETS else None) for name in PAPER_MODELS}
    entries = [_entry(name, config, []) for name, config in own.items() if (pattern or "") in name]
    for prefix in LIBRARIES:
        library = import_module(f"vidsemi.models.zoo.{prefix}")
        names = library.names() if f"{pattern}/".startswith(f"{prefix}/") else _installed_names(prefix)
        found = [name for name in names if (pattern or "") in f"{prefix}/{name}"]
        entries += [
            _entry(f"{prefix}/{name}", library.pretrained_config(name), library.weights(name)) for name in found
        ]
    return [entry for entry in entries if entry["name"] == pattern] or entries


def _entry(name: str, config: PretrainedConfig, weights: list[str]) -> dict[str, Any]:
    takes = {key: getattr(config, key) for key in ("frames", "stride", "resize", "crop")}
    return {"name": name, **takes, "weights": weights}


def _library(name: str) -> tuple[ModuleType | None, str]:
    """The module of a name's library and the library's own name; None and the name itself for the paper's networks.

    Such a module has `names()`, and for each of them `is_video`, `pretrained_config`, `weights` and `build`.
    """
    prefix, slash, own_name = name.partition("/")
    if not slash or prefix not in LIBRARIES:
        return None, name
    return import_module(f"vidsemi.models.zoo.{prefix}"), own_name


def _installed_names(prefix: str) -> list[str]:
    try:
        names: list[str] = import_module(f"vidsemi.models.zoo.{prefix}").names()
        return names
    except UserError:  # an extra that is not installed
        return []


class ImageAdapter(nn.Module):
    """Calls an image network with clips of one frame."""

    def __init__(self, network: nn.Module, name: str, frames: int):
        check_one_frame(name, frames)
        super().__init__()
        self.network = network

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 1, H, W) normalized float → (N, classes) logits."""
        logits: torch.Tensor = self.network(clips.squeeze(2))
        return logits
