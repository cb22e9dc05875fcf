"""transformers' classifiers of videos and images (an extra), by the names of their classes there.

A network is built from plain values: those of its config that differ from the defaults of its class. No file of
transformers' layout is read here, so no code, pickle or address in one is ever used.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.pretrained_cfg import PretrainedConfig, check_one_frame
from vidsemi.runtime.library_errors import first_line

# The video classifiers, by the key of their config for the clip length.
VIDEO = {
    "VideoMAEForVideoClassification": "num_frames",
    "TimesformerForVideoClassification": "num_frames",
    "VivitForVideoClassification": "num_frames",
    "VJEPA2ForVideoClassification": "frames_per_clip",
}
FIXED_FRAMES = ("VideoMAE", "Vivit")  # their tables of positions have a place for every frame
JSON_TEXT = ("[", "{", "null")  # how a value begins that is not a number, truth value or plain text


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError(
            "model.transformers_not_installed", "transformers is not installed: pip install 'vidsemi[hf]'"
        ) from None
    return transformers


def names() -> list[str]:
    """Names of all networks."""
    _transformers()
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as IMAGE

    images = [name for own in IMAGE.values() for name in ([own] if isinstance(own, str) else own)]
    return [*VIDEO, *sorted(set(images))]


def is_video(name: str) -> bool:
    """Whether a network takes clips of several frames; those of images get theirs from `Classifier` too."""
    return True


def pretrained_config(name: str) -> PretrainedConfig:
    """The input of a network without weights: left to the config, but that images are single frames."""
    return PretrainedConfig(frames=None if name in VIDEO else 1)


def weights(name: str) -> list[str]:
    """No addresses of published weights: weights are local folders."""
    return []


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights; its config's clip length is `frames` unless the args have another."""
    length = {VIDEO[name]: frames} if name in VIDEO else {}
    return Classifier(_class(name)(config_of(name, num_classes, {**length, **args})), name, frames)


def convert(
    name: str, num_classes: int, args: Mapping[str, Any], tensors: dict[str, torch.Tensor], source: str
) -> dict[str, torch.Tensor]:
    """Tensors of a file of transformers → the state dict of the network that `build` returns.

    Releases of transformers name the tensors of one network differently; transformers translates them.

    Raises:
        UserError: tensors of the network are missing, have other shapes, or cannot be translated.
    """
    given = {key: tensor.to(torch.float32) if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    config = config_of(name, num_classes, args)
    try:
        with _quiet():
            network, report = _class(name).from_pretrained(
                None, config=config, state_dict=given, output_loading_info=True, dtype=torch.float32
            )
    except Exception as error:  # of arbitrary tensors
        raise UserError("weights.network_mismatch", f"{source} does not fit {name}: {first_line(error)}") from None
    # Of tensors with other shapes the report names triples.
    other = sorted(str(key if isinstance(key, str) else key[0]) for key in report["mismatched_keys"])
    if lost := sorted(report["missing_keys"]) or other:
        raise UserError(
            "weights.network_mismatch",
            f"{source} does not fit {name}: {len(lost)} of its tensors are not in the file or have another shape, the "
            f"first is {lost[0]}",
        )
    return Classifier(network, name, getattr(config, VIDEO[name]) if name in VIDEO else 1).state_dict()


def config_of(name: str, num_classes: int, args: Mapping[str, Any]) -> Any:
    """The config of a network with these args; a ValueError if it does not take them."""
    kind = _class(name).config_class
    given = {key: _decoded(value) for key, value in args.items()}
    if unknown := sorted(given.keys() - _own_keys(kind)):
        raise ValueError(f"{kind.__name__} has no key {unknown[0]}")
    try:
        return kind(**given, num_labels=num_classes)
    except Exception as error:  # its own checks have their own exceptions
        raise ValueError(f"{kind.__name__}: {' '.join(str(error).split())}") from None


def args_of(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The args of a network from its config.json: what differs from its class's defaults, and the clip length.

    Old keys are those of today's release then. Keys that its class does not know, such as those of training, are
    left out.

    Raises:
        ValueError: a value is not one that the class takes.
    """
    kind = _class(name).config_class
    general = {field.name for field in fields(_transformers().PretrainedConfig)} | {"model_type", "num_labels"}
    try:
        found = kind(**{key: value for key, value in values.items() if key not in general}).to_diff_dict()
    except Exception as error:  # as above
        raise ValueError(f"{kind.__name__}: {' '.join(str(error).split())}") from None
    default = kind().to_diff_dict()
    always = VIDEO.get(name)
    own = {key: found[key] for key in sorted(_own_keys(kind)) if key in found}
    return {key: _encoded(value) for key, value in own.items() if key == always or value != default.get(key)}


def _class(name: str) -> Any:
    return getattr(_transformers(), name)


def _own_keys(kind: Any) -> set[str]:
    general = {field.name for field in fields(_transformers().PretrainedConfig)}
    return {field.name for field in fields(kind)} - general


def _encoded(value: Any) -> Any:
    """A value as args may have it; lists and objects as JSON."""
    plain = isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith(JSON_TEXT))
    return value if plain else json.dumps(value, sort_keys=True)


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith(JSON_TEXT) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and warnings: what they are about is an error here, or does not matter."""
    from transformers.utils import logging as their_logging

    bars, level = their_logging.is_progress_bar_enabled(), their_logging.get_verbosity()
    their_logging.disable_progress_bar()
    their_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        their_logging.set_verbosity(level)
        if bars:
            their_logging.enable_progress_bar()


class Classifier(nn.Module):
    """Calls a classifier of transformers with clips, those of images with clips of one frame."""

    def __init__(self, network: nn.Module, name: str, frames: int):
        super().__init__()
        if name not in VIDEO:
            check_one_frame(name, frames)
        elif name.startswith("VJEPA2"):
            delattr(network.get_submodule("vjepa2"), "predictor")  # only pre-training uses it
        self.network, self.name = network, name

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, T, H, W) normalized float → (N, classes) logits, in the order of the config's classes."""
        if self.name in VIDEO:
            self._check(clips)
            frames = clips.transpose(1, 2)
            inputs = {"pixel_values_videos" if self.name.startswith("VJEPA2") else "pixel_values": frames}
        else:
            inputs = {"pixel_values": clips.squeeze(2)}
        logits: torch.Tensor = self.network(**inputs).logits
        return logits

    def _check(self, clips: torch.Tensor) -> None:
        """Refuse clips for which a network has no places, or would take those of other frames without a word."""
        config: Any = self.network.config
        frames, side, own = clips.shape[2], clips.shape[-1], getattr(config, VIDEO[self.name])
        if self.name.startswith(FIXED_FRAMES) and frames != own:
            raise UserError(
                "model.fixed_frames", f"{self.name} takes clips of {own} frames, which cannot be changed, not {frames}"
            )
        if self.name.startswith("VJEPA2"):
            if side != config.crop_size:
                raise UserError(
                    "model.fixed_crop", f"{self.name} takes crops of {config.crop_size} pixels (crop_size), not {side}"
                )
            if frames % config.tubelet_size:
                raise UserError(
                    "model.odd_frames",
                    f"{self.name} joins {config.tubelet_size} frames each: {frames} frames are not a multiple of that",
                )
