"""Networks by name: the paper's own, those of plug-ins, and those of model libraries as `torchvision/…` and so on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vidsemi.io.errors import UserError
from vidsemi.models.hf_folder import folder_classes, folder_of, license_of, weight_files
from vidsemi.models.pretrained_cfg import Colors, PretrainedConfig, check_one_frame
from vidsemi.runtime.library_errors import first_line, raised_at
from vidsemi.runtime.registry import Registry, failed_plugins, nearest

R2PLUS1D = [f"r2plus1d_{depth}" for depth in (10, 18, 34, 50, 101, 152)]
RESNETS = ["resnet18", "resnet50", "resnext50_32x4d", *(f"resnext101_32x{planes}d" for planes in (4, 8, 16, 48))]
PAPER_MODELS = [*R2PLUS1D, *RESNETS]
LIBRARIES = ("torchvision", "pytorchvideo", "timm")
TRANSFORMERS = "transformers"  # a library too, but most of its names mean nothing without a folder: `hf:DIR`
ADAPTER = "network."  # prefix of all tensor names where an adapter of ours wraps a library's network

# Arguments of libraries that would load weights unseen; weights come from `init_from`, which checks them.
REFUSED_ARGS = {"weights", "weights_backbone", "pretrained", "progress", "checkpoint_path", "pretrained_cfg"}
REFUSED_ARGS |= {"cache_dir", "pretrained_cfg_overlay", "num_classes", "model_num_class", "head_num_classes"}
BUILD_ERRORS = (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, LookupError)  # of libraries

Build = TypeVar("Build", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class RegisteredModel:
    """How to build a network, and the input it is meant for where the config does not say."""

    build: Callable[..., nn.Module]
    input: PretrainedConfig


_MODELS: Registry[RegisteredModel] = Registry("model")


def register_model(
    name: str,
    *,
    frames: int | None = None,
    stride: int | None = None,
    resize: int | tuple[int, int] | None = None,
    crop: int | None = None,
    mean: Colors | None = None,
    std: Colors | None = None,
) -> Callable[[Build], Build]:
    """Decorate a network's class, or a function that returns one, to make it available under a name.

    It is called with the keywords `num_classes` and `frames`, and with the `args` of the config. The network maps
    normalized float clips (N, 3, T, H, W) to logits (N, num_classes).

    Args:
        name: in configs, on the command line and in weights files.
        frames: default clip length T; without one, every config gives it.
        stride: default step between the frames of a clip.
        resize: default length of the frames' shorter side, or (height, width).
        crop: default side of the square crop.
        mean: default RGB mean of pixel values in [0, 1].
        std: default RGB standard deviation of pixel values in [0, 1].

    Returns:
        The decorator, which returns what it decorates as it is.

    Raises:
        UserError: the name is invalid, taken, or starts with that of a model library.
    """
    if isinstance(name, str) and name.partition("/")[0] in (*LIBRARIES, TRANSFORMERS):
        raise UserError("registry.name_taken", f"'{name}' is the name of a network of {name.partition('/')[0]}")
    takes = PretrainedConfig(frames, stride, resize, crop, mean, std)
    return _MODELS.decorator(name, lambda build: RegisteredModel(build, takes))


def _register_paper_models() -> None:
    """Register networks whose modules are imported when they are built."""

    def r2plus1d(depth: int) -> Callable[..., nn.Module]:
        def build(num_classes: int, frames: int, **args: Any) -> nn.Module:
            from vidsemi.models.r2plus1d import R2Plus1D

            return R2Plus1D(depth, num_classes, frames, **args)

        return build

    def resnet(name: str) -> Callable[..., nn.Module]:
        def build(num_classes: int, frames: int, **args: Any) -> nn.Module:
            from vidsemi.models.resnet import ImageResNet

            return ImageResNet(name, num_classes, frames, **args)

        return build

    for name in R2PLUS1D:
        register_model(name)(r2plus1d(int(name.removeprefix("r2plus1d_"))))
    for name in RESNETS:
        register_model(name, frames=1)(resnet(name))


_register_paper_models()


def create_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network with fresh weights, which maps normalized clips (N, 3, T, H, W) to logits (N, num_classes).

    Its name is one of `PAPER_MODELS`, that of a plug-in's, or a model library and one of its networks:
    `torchvision/mvit_v2_s`. `args` are the network's own arguments, such as `{"width": 0.25}` for a narrow R(2+1)D or
    `{"stem": "cifar"}` for a ResNet. A network that does not exist or take them is a UserError.
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
        network = _MODELS.all(plugins=False)[name].build(num_classes=num_classes, frames=frames, **args)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        plugin = _MODELS.plugin(name)
        if plugin is None and not isinstance(error, BUILD_ERRORS):
            raise
        where = raised_at(error) if plugin else ""
        raise UserError(
            "model.invalid_args", f"model '{name}' cannot be built with args {args}: {first_line(error)}{where}"
        ) from (error if plugin else None)
    if not isinstance(network, nn.Module):
        what = type(network).__name__
        raise UserError("model.not_a_module", f"model '{name}' of {_MODELS.plugin(name)} is a {what}, not an nn.Module")
    return network


class _NoRandomWeights(TorchFunctionMode):
    """Leave tensors on the meta device as they are instead of drawing their values, of which they have none.

    torch would import its compiler for it: 1.2 s at the start of each process.
    """

    DRAWS = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, torch.Tensor.normal_, torch.Tensor.uniform_)

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in self.DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return function(*args, **kwargs)


def meta_model(name: str, *, num_classes: int, frames: int, args: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network on the meta device: shapes without memory.

    Some library networks read tensor values while they are built, so these are built on the CPU first. The global
    random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"), _NoRandomWeights():
                return create_model(name, num_classes=num_classes, frames=frames, args=args)
        except UserError:
            if name in PAPER_MODELS:
                raise
        return create_model(name, num_classes=num_classes, frames=frames, args=args).to("meta")


def check_name(name: str) -> None:
    """Raise `UserError` with the nearest names if there is no such network."""
    library, own_name = _library(name)
    if own_name in library.names() if library else is_registered(name):
        return
    registered = list(_MODELS.all())
    if library:
        candidates = [f"{name.partition('/')[0]}/{other}" for other in library.names()]
    elif "/" in name:
        candidates = registered
    else:  # perhaps the library was left out
        candidates = registered + [f"{prefix}/{other}" for prefix in LIBRARIES for other in _installed_names(prefix)]
    same = [other for other in candidates if name and other.partition("/")[2] == name]
    near = same or nearest(name, candidates, n=3)
    hint = f"did you mean {' or '.join(repr(other) for other in near)}?" if near else "`vidsemi models` lists them"
    raise UserError("model.unknown", f"there is no model '{name}'; {hint}{failed_plugins()}")


def pretrained_config(name: str) -> PretrainedConfig:
    """The input that a network was made for; the paper's leave it to the config."""
    check_name(name)
    library, own_name = _library(name)
    return library.pretrained_config(own_name) if library else _MODELS.all(plugins=False)[name].input


def resolve_model(name: str, args: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], PretrainedConfig]:
    """The name and args that build a network, with the input it was made for; raises as `check_name` does.

    They are those given, but for `hf:DIR`: there a transformers network with the folder's values as args.
    """
    folder = folder_of(name)
    if folder is None:
        return name, args, pretrained_config(name)
    from vidsemi.models.hf_input import input_of, network_of

    own_name, own_args = network_of(folder, args)
    return f"{TRANSFORMERS}/{own_name}", own_args, input_of(folder)


def is_registered(name: str) -> bool:
    """Whether a network is one of the paper's or of a plug-in."""
    return _MODELS.get(name) is not None


def plugin_of(name: str) -> str | None:
    """The package or module that registered a network; None if it is not a plug-in's."""
    return _MODELS.plugin(name)


def list_models(pattern: str | None = None) -> list[dict[str, Any]]:
    """List the networks whose names contain a text, or the one whose name it is; the paper's come first.

    timm's are left out where it is not installed, and those of transformers, unless the pattern asks for them.

    Args:
        pattern: the text; None for all networks.

    Returns:
        of each network its name, frames, stride, resize and crop (None: left to whoever creates it), and the addresses
        of published weights. Of `hf:DIR` also what its files say: the network in transformers and its args, the number
        of classes, and the license.

    Raises:
        UserError: the pattern names a library that is not installed.
    """
    if pattern is not None and not isinstance(pattern, str):
        raise UserError("model.unknown", f"a part of a network's name is a text, not {pattern!r}")
    if pattern and (folder := folder_of(pattern)):
        name, args, takes = resolve_model(pattern, {})
        about = {"model": name, "args": dict(args), "classes": len(folder_classes(folder))}
        about["license"] = license_of(folder, name.partition("/")[2])
        return [_entry(pattern, takes, [str(file) for file in weight_files(folder)]) | about]
    entries = [_entry(name, own.input, []) for name, own in _MODELS.all().items() if (pattern or "") in name]
    for prefix in (*LIBRARIES, TRANSFORMERS) if f"{pattern}/".startswith(f"{TRANSFORMERS}/") else LIBRARIES:
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
    if not slash or prefix not in (*LIBRARIES, TRANSFORMERS):
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
