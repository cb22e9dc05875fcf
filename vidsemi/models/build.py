"""Builds the networks of a config: their specs, checks that need no memory, and the weights they start from."""

import logging
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.config import Input, Network
from vidsemi.data.input_spec import MAX_CLIP_PIXELS, InputSpec
from vidsemi.io.errors import UserError
from vidsemi.models.hf_folder import folder_of
from vidsemi.models.initialize import Loaded, has_names_of, initialize
from vidsemi.models.pretrained_cfg import PretrainedConfig
from vidsemi.models.registry import ADAPTER, pretrained_config, resolve_model
from vidsemi.models.weights import Weights, fingerprint_weights, read_weights
from vidsemi.models.weights_file import NetworkSpec, save_weights
from vidsemi.runtime.library_errors import first_line, needs_tensor_values

TRAINING_ONLY = ("aux", "criterion", "loss")  # heads and losses that scoring does not need

logger = logging.getLogger("vidsemi")


def network_spec(
    network: Network,
    input: Input,
    classes: list[str],
    trained_on: InputSpec | PretrainedConfig | None = None,
) -> NetworkSpec:
    """The spec of a network in a config.

    Each key of its input comes from the first that has it: the network's own `input`, the input that its frozen weights
    were trained on (`trained_on`), the pretrained config of its library or plug-in, the run's `input`.

    Raises:
        UserError: there is no such network, or its input is incomplete or invalid.
    """
    model, args, pretrained = resolve_model(network.model, network.args)
    known = {key: value for key, value in asdict(pretrained).items() if value is not None}
    if trained_on is not None:
        known |= {key: value for key, value in asdict(trained_on).items() if key != "decoder" and value is not None}
    own = network.input.model_dump(exclude_none=True)
    if network.frames is not None:
        own["frames"] = network.frames
    values = {**input.model_dump(include={"stride", "resize", "crop", "mean", "std", "decoder"}), **known, **own}
    if folder_of(network.model) and "stride" not in known.keys() | own.keys():
        raise UserError(
            "model.stride_missing",
            f"{network.model}: its files do not say how far apart the frames of a clip are; set the stride of its own "
            "input, such as `input: {stride: 4}` for every fourth frame",
        )
    if "frames" not in values:
        raise UserError("model.frames_missing", f"{network.model} has no default clip length; set its key `frames`")
    spec = InputSpec(**values)
    if spec.crop > (spec.resize if isinstance(spec.resize, int) else min(spec.resize)):
        size = f"({spec.resize})"
        raise UserError("model.crop_too_large", f"{network.model}: crop {spec.crop} exceeds the resized frames {size}")
    if spec.clip_pixels > MAX_CLIP_PIXELS:
        raise UserError(
            "model.clip_too_large",
            f"{network.model}: a clip of {spec.frames} frames resized to {spec.resize} has more than "
            f"{MAX_CLIP_PIXELS:,} pixels; lower `frames` or `resize`",
        )
    return NetworkSpec(model, args, classes, spec)


def frozen_spec(network: Network, input: Input, classes: list[str]) -> NetworkSpec:
    """The spec of a network whose `init_from` weights are used as they are, without training."""
    assert network.init_from
    return network_spec(network, input, classes, read_weights(network.init_from).trained_on(network.model))


def check_network(spec: NetworkSpec) -> None:
    """Send clips through a network on the meta device; a UserError if it does not take them or return logits."""
    network, takes, count = spec.meta_model, spec.input, 2
    clips = torch.zeros(count, 3, takes.frames, takes.crop, takes.crop, device="meta")
    for training in (True, False):
        try:
            logits = network.train(training)(clips)
        except UserError:
            raise
        except Exception as error:  # libraries raise whatever they like
            if needs_tensor_values(error):  # cannot run on the meta device; the first batch will tell
                return
            view, why = f"{takes.frames} frames of {takes.crop}×{takes.crop}", first_line(error)
            raise UserError("model.input_mismatch", f"{spec.model} does not take clips of {view}: {why}") from None
        expected = (count, len(spec.classes))
        if not isinstance(logits, torch.Tensor) or logits.shape != expected:
            what = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise UserError(
                "model.output_mismatch", f"{spec.model} returns {what}, expected logits of shape {expected}"
            )


def initialize_from(network: nn.Module, spec: NetworkSpec, weights: Weights) -> Loaded:
    """Load the weights that a network starts from, in place; a network on the meta device is only compared.

    The head is loaded too if the file has the classes of `spec`, in any order, or as many without names. Weights of
    another network are a UserError.
    """
    known, ours = weights.classes, spec.classes
    moved = known is not None and known != ours and sorted(known) == sorted(ours) and not _unordered(spec)
    layout, tensors = weights.layout, weights.tensors
    # A plug-in may have the names of its framework.
    if layout is not None and (spec.model in layout.targets or not has_names_of(tensors, network)):
        tensors = layout.tensors_for(spec.model, pretrained_config(spec.model).frames, tensors, weights.file)
    loaded = initialize(
        network,
        tensors,
        head=spec.head_keys,
        keep_head=known is None or known == ours or moved,
        file=weights.file,
        model=str(spec),
        holds=str(weights.spec) if weights.spec else layout.title if layout else None,
    )
    if moved and known is not None and not loaded.replaced:
        _reorder_outputs(network, spec, [known.index(name) for name in ours], weights.file)
    return loaded


def check_weights(spec: NetworkSpec, weights: Weights, *, frozen: bool, weakly_pretrained: bool) -> None:
    """Check that weights fit a network, frozen ones with its head, and saw hashtags only if the config says so."""
    (initialize_all if frozen else initialize_from)(spec.meta_model, spec, weights)
    if weights.trained_on_hashtags and not weakly_pretrained:
        raise UserError(
            "weights.weakly_pretrained",
            f"{weights.file} was pre-trained on hashtags; set weakly_pretrained: true, so that only the weakly "
            "supervised approaches start from it",
        )


def import_weights(path: Path, spec: NetworkSpec, init_from: str, *, rename: bool = False) -> dict[str, Any]:
    """Convert weights that need no training to a weights file of vidsemi.

    Args:
        path: the file to write.
        spec: of the network; outputs get the order of its classes.
        init_from: the weights.
        rename: take the classes of `spec` for the names of the outputs, in their order, whatever the weights call them.

    Returns:
        `Loaded.document()`, and `Layout.document()` of weights that another framework stores.

    Raises:
        UserError: the weights cannot be read, or belong to another network or other classes than `spec` has.
    """
    weights, network = read_weights(init_from), spec.build()
    if rename:
        weights = named_as(weights, spec.classes)
    loaded = initialize_all(network, spec, weights)
    about = weights.layout.document() if weights.layout else {}
    logger.info("%s: %s", init_from, "; ".join([str(loaded), *about.values()]))
    save_weights(path, network, spec, {"init_from": fingerprint_weights(init_from)})
    return {**loaded.document(), **about}


def named_as(weights: Weights, classes: list[str]) -> Weights:
    """The same weights with other names for their outputs."""
    spec = weights.spec and replace(weights.spec, classes=classes)
    return replace(weights, spec=spec, classes=classes)


def initialize_all(network: nn.Module, spec: NetworkSpec, weights: Weights) -> Loaded:
    """Load all weights of a network, in place, the head among them; outputs get the order of the classes of `spec`.

    Raises:
        UserError: they are those of another network, or of other classes.
    """
    theirs, file = weights.spec, weights.file
    if theirs is not None:
        if (theirs.model, dict(theirs.args)) != (spec.model, dict(spec.args)):
            raise UserError("weights.network_mismatch", f"{file} holds {theirs}, expected {spec}")
        taken, frames = theirs.input.frames, spec.input.frames
        if taken != frames:
            raise UserError("weights.frames_mismatch", f"{file} takes {taken} frames, expected {frames}")
    known = weights.classes
    if known is not None and sorted(known) != sorted(spec.classes):
        pairs = enumerate(zip_longest(map(repr, sorted(known)), map(repr, sorted(spec.classes)), fillvalue="missing"))
        number, (found, expected) = next(entry for entry in pairs if entry[1][0] != entry[1][1])
        lacking = len(set(spec.classes) - set(known))
        raise UserError(
            "weights.class_mismatch",
            f"{file} knows {len(known)} classes and lacks {lacking} of the {len(spec.classes)} of the labeled set: "
            f"class {number} in alphabetical order is {found}, expected {expected}",
        )
    loaded = initialize_from(network, spec, weights if known is None else named_as(weights, spec.classes))
    if loaded.replaced:
        head = loaded.replaced[0]
        raise UserError("weights.head_mismatch", f"{file} has no head {head} for {len(spec.classes)} classes")
    extra = [name for name in loaded.unused if not name.removeprefix(ADAPTER).lower().startswith(TRAINING_ONLY)]
    if extra:
        raise UserError("weights.extra_tensors", f"{file} has tensors that {spec} lacks, the first is {extra[0]}")
    if known is not None and known != spec.classes:
        _reorder_outputs(network, spec, [known.index(name) for name in spec.classes], file)
    return loaded


def _unordered(spec: NetworkSpec) -> str | None:
    """The first tensor that depends on the classes in several dimensions, so that outputs cannot be reordered."""
    return next((key for key, places in spec.class_dimensions.items() if len(places) > 1), None)


def _reorder_outputs(network: nn.Module, spec: NetworkSpec, order: list[int], file: str) -> None:
    """Move the rows of the head, in place, so that output i is what output order[i] was."""
    if several := _unordered(spec):
        raise UserError(
            "weights.unordered_head",
            f"{file} has its classes in another order than the labels, and the outputs of {spec} cannot be reordered: "
            f"its tensor {several} depends on the classes in several dimensions",
        )
    state = network.state_dict()
    for key, (place,) in spec.class_dimensions.items():
        tensor = state[key]
        tensor.copy_(tensor.index_select(place, torch.tensor(order, device=tensor.device)))
