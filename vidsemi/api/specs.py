"""A network's spec from arguments: its name, its classes, and the input that replaces its default one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.api.arguments import check_count, checked
from vidsemi.config import Input, Network, OwnInput
from vidsemi.io.errors import UserError
from vidsemi.models.build import check_network, frozen_spec, network_spec
from vidsemi.models.hf_folder import folder_of
from vidsemi.models.pretrained_cfg import IMAGENET
from vidsemi.models.registry import RESNETS, check_name
from vidsemi.models.stored_spec import MAX_CLASSES
from vidsemi.models.weights_file import NetworkSpec

Classes = int | Sequence[str]


@dataclass(frozen=True)
class OwnSpec:
    """What replaces a network's default input and arguments; None keeps them."""

    frames: int | None = None
    size: int | None = None
    stride: int | None = None
    resize: int | Sequence[int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    args: Mapping[str, Any] | None = None


def spec_of(name: str, classes: Classes, own: OwnSpec, init_from: str | None = None) -> NetworkSpec:
    """The spec of a network, once it was tried with clips on the meta device.

    Args:
        name: of the network.
        classes: names of its outputs in order, or their number.
        own: replaces the pretrained config, or where there is none the default of `Input`.
        init_from: weights that are used as they are; their input counts as a pretrained config.

    Raises:
        UserError: the network's name is unknown, or it does not take these arguments or clips.
    """
    if not isinstance(name, str):
        raise UserError("model.unknown", f"the name of a network is a text, not {name!r}; list_models() lists them")
    if folder_of(name) is None:
        check_name(name)
    names = class_names_of(classes)
    frames, default = own.frames, Input()
    if name in RESNETS:  # their published weights are ImageNet's
        frames = frames or IMAGENET.frames
        default = Input(**{key: getattr(IMAGENET, key) for key in ("resize", "crop", "mean", "std")})
    resize = own.resize if own.resize is None or isinstance(own.resize, int) else tuple(own.resize)
    given = {"crop": own.size, "resize": resize, "stride": own.stride, "mean": own.mean, "std": own.std}
    takes = checked(OwnInput, {key: value for key, value in given.items() if value is not None})
    values = {"model": name, "frames": frames, "args": dict(own.args or {}), "input": takes, "init_from": init_from}
    spec = (frozen_spec if init_from else network_spec)(checked(Network, values), default, names)
    check_network(spec)
    return spec


def class_names_of(classes: Classes) -> list[str]:
    """The names of classes, which are "class 0", "class 1", … for a number of them.

    Raises:
        UserError: a name is not a text, is empty, or is there twice.
    """
    if isinstance(classes, int):
        return [f"class {number}" for number in range(check_count("classes", classes, MAX_CLASSES))]
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise UserError("classes.invalid", f"classes is {classes!r}; give a list of names, or their number")
    names = list(classes)
    if odd := [name for name in names if not isinstance(name, str) or not name]:
        raise UserError("classes.invalid", f"the name of a class is a text, not {odd[0]!r}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError("classes.repeated", f"class '{repeated[0]}' is named more than once")
    return names
