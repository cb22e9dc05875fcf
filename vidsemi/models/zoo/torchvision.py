"""torchvision's classification networks, of images and of videos.

What a network wants is what torchvision says of its default weights, frames a second as a stride of videos of 30.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision import models

from vidsemi.models.pretrained_cfg import WantedInput, colors

# Published weights of these two were trained on other means than those that torchvision feeds them.
INCEPTIONS = {"googlenet", "inception_v3"}


def names() -> list[str]:
    """Names of all networks."""
    return models.list_models(module=models) + models.list_models(module=models.video)


def is_video(name: str) -> bool:
    """Whether a network takes videos."""
    return name in models.list_models(module=models.video)


def wanted(name: str) -> WantedInput:
    """What a network was made for."""
    default: Any = models.get_model_weights(name).DEFAULT
    transforms, said = default.transforms(), default.meta["_docs"]
    frames, rate = re.search(r"clip_len=(\d+)", said), re.search(r"frame_rate=([\d.]+)", said)
    resize = transforms.resize_size
    return WantedInput(
        frames=int(frames[1]) if frames else None if is_video(name) else 1,
        stride=round(30 / float(rate[1])) if rate else None,
        resize=(resize[0], resize[1]) if len(resize) == 2 else resize[0],
        crop=transforms.crop_size[0],
        mean=colors(transforms.mean),
        std=colors(transforms.std),
    )


def weights(name: str) -> list[str]:
    """Address of a network's default weights; others may want another input."""
    return [models.get_model_weights(name).DEFAULT.url]


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """The network with fresh weights."""
    own: dict[str, Any] = {}
    if name in INCEPTIONS:
        own = {"aux_logits": False, "transform_input": True, "init_weights": True}
    if name.startswith("vit_"):
        own = {"image_size": wanted(name).crop}  # 224 unless told otherwise, which the largest does not want
    return models.get_model(name, weights=None, num_classes=num_classes, **{**own, **args})
