"""A network of the config → how it is built and fed, and the weights that it begins with."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.config import Input, Network
from vidsemi.engine.checkpoint import NetworkSpec, save_weights
from vidsemi.engine.weights import local_copy, read_weights
from vidsemi.errors import UserError
from vidsemi.files import fingerprint_file
from vidsemi.media.transforms import InputSpec
from vidsemi.models.create import head_keys, outline, wanted_input
from vidsemi.models.initialize import Loaded, initialize

logger = logging.getLogger("vidsemi")


def network_spec(network: Network, input: Input, classes: list[str]) -> NetworkSpec:
    """How a network is built and fed.

    What it takes in is, key by key, what its own `input` says, else what its zoo says that it was made for, else the
    run's `input`.

    Raises:
        UserError: there is no such network, or its input is not complete or makes no sense.
    """
    wanted = wanted_input(network.model)
    known = {key: value for key, value in asdict(wanted).items() if value is not None} if wanted else {}
    own = network.input.model_dump(exclude_none=True)
    if network.frames is not None:
        own["frames"] = network.frames
    values = {**input.model_dump(include={"stride", "resize", "crop", "mean", "std", "decoder"}), **known, **own}
    if "frames" not in values:
        raise UserError(f"{network.model}: its zoo does not say how long its clips are; give it `frames`")
    spec = InputSpec(**values)
    if spec.crop > (spec.resize if isinstance(spec.resize, int) else min(spec.resize)):
        raise UserError(
            f"{network.model}: the crop {spec.crop} is larger than the frames, which are scaled to {spec.resize}"
        )
    return NetworkSpec(network.model, network.args, classes, spec)


def check_network(spec: NetworkSpec) -> None:
    """Send a clip through a network that has shapes and no numbers: it costs no memory and little time.

    Raises:
        UserError: the network cannot be built, or does not take such clips.
    """
    takes = spec.input
    network = outline(spec.model, num_classes=len(spec.classes), frames=takes.frames, args=spec.args).eval()
    clip = torch.zeros(1, 3, takes.frames, takes.crop, takes.crop, device="meta")
    try:
        shape = tuple(network(clip).shape)
    except UserError:
        raise
    except Exception as error:  # networks of others say it in their own ways
        why = (str(error) or type(error).__name__).splitlines()[0]
        if "meta" in why:  # it looks at numbers; whether it works, the first batch will tell
            return
        raise UserError(
            f"{spec.model} does not take clips of {takes.frames} frames of {takes.crop} × {takes.crop}: {why}"
        ) from None
    if shape != (1, len(spec.classes)):
        raise UserError(f"{spec.model} puts out {shape} for one clip, not (1, {len(spec.classes)} classes)")


def begin_with(network: nn.Module, spec: NetworkSpec, init_from: str) -> Loaded:
    """Load the weights that a network begins with, in place; a network on the meta device is only compared.

    The head is taken from the file too if the file's classes are those of `spec`, or as many where it names none.

    Raises:
        UserError: they cannot be read or are of another network.
    """
    weights = read_weights(init_from)
    head = head_keys(spec.model, frames=spec.input.frames, args=spec.args)
    same = weights.spec is None or weights.spec.classes == spec.classes
    return initialize(network, weights.tensors, head=head, keep_head=same, file=init_from, model=spec.model)


def check_weights(spec: NetworkSpec, init_from: str) -> None:
    """Find out whether weights fit a network.

    Raises:
        UserError: they do not, or cannot be read.
    """
    network = outline(spec.model, num_classes=len(spec.classes), frames=spec.input.frames, args=spec.args)
    begin_with(network, spec, init_from)


def identity_of(init_from: str) -> str:
    """What weights are known by: the content of the file.

    Raises:
        UserError: it is not there.
    """
    return fingerprint_file(local_copy(init_from))


def adopt(path: Path, spec: NetworkSpec, init_from: str) -> dict[str, Any]:
    """Make a checkpoint of weights that need no training.

    Args:
        path: of the checkpoint.
        spec: of the network, with the names of the classes that the weights were trained on, in their order.
        init_from: the weights.

    Returns:
        What was loaded, see `Loaded`.

    Raises:
        UserError: they cannot be read, are of another network, or have another head.
    """
    network = spec.build()
    loaded = begin_with(network, spec, init_from)
    if loaded.replaced:
        raise UserError(
            f"{init_from} has not the {len(spec.classes)} classes wanted, as its head ({loaded.replaced[0]}) tells"
        )
    logger.info("%s: %s", init_from, loaded)
    save_weights(path, network, spec, {"init_from": identity_of(init_from)})
    return loaded.document()
