"""A network of the config → how it is built and fed, and the weights that it begins with."""

import logging
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.config import Input, Network
from vidsemi.data.input_spec import InputSpec
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_file
from vidsemi.models.initialize import Loaded, initialize
from vidsemi.models.registry import ADAPTED, head_keys, outline, wanted_input
from vidsemi.models.weights import Weights, local_copy, read_weights
from vidsemi.models.weights_file import NetworkSpec, save_weights
from vidsemi.runtime.library_errors import first_line, needs_tensor_values

FOR_TRAINING = ("aux", "criterion", "loss")  # heads and losses, no part of what scores

logger = logging.getLogger("vidsemi")


def network_spec(
    network: Network, input: Input, classes: list[str], trained_on: InputSpec | None = None
) -> NetworkSpec:
    """How a network is built and fed.

    What it takes in is, key by key, what its own `input` says, else what its weights were trained on where they are
    not trained any more, else what its zoo says that it was made for, else the run's `input`.

    Raises:
        UserError: there is no such network, or its input is not complete or makes no sense.
    """
    wanted = wanted_input(network.model)
    known = {key: value for key, value in asdict(wanted).items() if value is not None} if wanted else {}
    if trained_on is not None:
        known |= {key: value for key, value in asdict(trained_on).items() if key != "decoder"}
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


def ready_spec(network: Network, input: Input, classes: list[str]) -> NetworkSpec:
    """How a network is built and fed whose weights, those of its `init_from`, are not trained any more.

    Raises:
        UserError: as `network_spec` does, or the weights cannot be read.
    """
    assert network.init_from
    weights = read_weights(network.init_from)
    return network_spec(network, input, classes, weights.spec.input if weights.spec else None)


def check_network(spec: NetworkSpec) -> None:
    """Send clips through a network that has shapes and no numbers: it costs no memory and little time.

    Raises:
        UserError: the network cannot be built, does not take such clips, or does not give a row of logits for each.
    """
    takes, many = spec.input, 2
    network = outline(spec.model, num_classes=len(spec.classes), frames=takes.frames, args=spec.args)
    clips = torch.zeros(many, 3, takes.frames, takes.crop, takes.crop, device="meta")
    for training in (True, False):
        try:
            logits = network.train(training)(clips)
        except UserError:
            raise
        except Exception as error:  # networks of others say it in their own ways
            if needs_tensor_values(error):  # whether it works, the first batch will tell
                return
            raise UserError(
                f"{spec.model} does not take clips of {takes.frames} frames of {takes.crop} × {takes.crop}: "
                f"{first_line(error)}"
            ) from None
        if not isinstance(logits, torch.Tensor) or logits.shape != (many, len(spec.classes)):
            what = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise UserError(f"{spec.model} puts out {what} for {many} clips, not ({many}, {len(spec.classes)} classes)")


def check_features(spec: NetworkSpec) -> None:
    """Find out whether a network gives features of the layer before its head.

    Raises:
        UserError: it does not.
    """
    from vidsemi.models import features as headless

    headless.check_features(spec.model, frames=spec.input.frames, size=spec.input.crop, args=spec.args)


def begin_with(network: nn.Module, spec: NetworkSpec, weights: Weights) -> Loaded:
    """Load the weights that a network begins with, in place; a network on the meta device is only compared.

    The head is taken from the file too if the file's classes are those of `spec`, or as many where it names none.

    Raises:
        UserError: they are of another network.
    """
    return initialize(
        network,
        weights.tensors,
        head=head_keys(spec.model, frames=spec.input.frames, args=spec.args),
        keep_head=weights.spec is None or weights.spec.classes == spec.classes,
        file=weights.file,
        model=_described(spec),
        holds=_described(weights.spec) if weights.spec else None,
    )


def _described(spec: NetworkSpec) -> str:
    args = "".join(f" {name}={value}" for name, value in spec.args.items())
    return f"{spec.model}{args}"


def check_weights(spec: NetworkSpec, init_from: str, *, as_they_are: bool, weakly_pretrained: bool) -> None:
    """Find out whether weights fit a network, and are what is said of them.

    Args:
        spec: of the network.
        init_from: the weights.
        as_they_are: whether they have to be good for use without training.
        weakly_pretrained: whether they are said to have learnt hashtags.

    Raises:
        UserError: they do not or are not, or cannot be read.
    """
    weights = read_weights(init_from)
    network = outline(spec.model, num_classes=len(spec.classes), frames=spec.input.frames, args=spec.args)
    (_load_as_it_is if as_they_are else begin_with)(network, spec, weights)
    if weights.trained_on_hashtags and not weakly_pretrained:
        raise UserError(
            f"{init_from} has learnt hashtags: say weakly_pretrained: true, so that the approaches that begin with "
            "such weights use it, and results say so"
        )


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
        UserError: they cannot be read, are of another network, or of other classes.
    """
    weights, network = read_weights(init_from), spec.build()
    loaded = _load_as_it_is(network, spec, weights)
    logger.info("%s: %s", init_from, loaded)
    save_weights(path, network, spec, {"init_from": identity_of(init_from)})
    return loaded.document()


def _load_as_it_is(network: nn.Module, spec: NetworkSpec, weights: Weights) -> Loaded:
    """Load all of a network, whose scores are to be those that its weights were trained for."""
    theirs = weights.spec
    if theirs is not None and (theirs.model, dict(theirs.args)) != (spec.model, dict(spec.args)):
        raise UserError(f"{weights.file} holds {_described(theirs)}, wanted {_described(spec)}")
    if theirs is not None and theirs.input.frames != spec.input.frames:
        raise UserError(f"{weights.file} takes {theirs.input.frames} frames, wanted {spec.input.frames}")
    if theirs is not None and theirs.classes != spec.classes:
        pairs = zip_longest(theirs.classes, spec.classes, fillvalue="nothing")
        number, (found, wanted) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
        raise UserError(f"{weights.file} has other classes: number {number} is '{found}', wanted '{wanted}'")
    loaded = begin_with(network, spec, weights)
    if loaded.replaced:
        raise UserError(f"{weights.file} has no head for {len(spec.classes)} classes named {loaded.replaced[0]}")
    extra = [name for name in loaded.unused if not name.removeprefix(ADAPTED).lower().startswith(FOR_TRAINING)]
    if extra:
        raise UserError(f"{weights.file} holds more than {_described(spec)}: {extra[0]}")
    return loaded
