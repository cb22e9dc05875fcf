"""torchvision's classification networks for images and videos.

Their input is that of torchvision's default weights; its frame rate becomes the stride in videos of 30 frames/s.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision import models

from vidsemi.models.pretrained_cfg import PretrainedConfig, colors

# The published weights of these two expect another normalization than torchvision's transforms apply.
INCEPTIONS = {"googlenet", "inception_v3"}


def names() -> list[str]:
    """Names of all networks."""
    return [*models.list_models(module=models), *models.list_models(module=models.video)]


def is_video(name: str) -> bool:
    """Whether a network takes clips of several frames."""
    return name in models.list_models(module=models.video)


def pretrained_config(name: str) -> PretrainedConfig:
    """The input of a network's published weights."""
    default: Any = models.get_model_weights(name).DEFAULT
    transforms, text = default.transforms(), default.meta["_docs"]
    frames, rate = re.search(r"clip_len=(\d+)", text), re.search(r"frame_rate=([\d.]+)", text)
    resize = transforms.resize_size
    return PretrainedConfig(
        frames=int(frames[1]) if frames else None if is_video(name) else 1,
        stride=round(30 / float(rate[1])) if rate else None,
        resize=(resize[0], resize[1]) if len(resize) == 2 else resize[0],
        crop=transforms.crop_size[0],
        mean=colors(transforms.mean),
        std=colors(transforms.std),
    )


def weights(name: str) -> list[str]:
    """Address of a network's default weights; others may expect another input."""
    return [models.get_model_weights(name).DEFAULT.url]


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights."""
    own: dict[str, Any] = {}
    if name in INCEPTIONS:
        own = {"aux_logits": False, "transform_input": True, "init_weights": True}
    if name.startswith("vit_"):
        own = {"image_size": pretrained_config(name).crop}  # its default of 224 is wrong for vit_h_14
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **{**own, **args})
    return network
