"""timm's image networks, an extra. What a network wants is in the pretrained_cfg of its name and tag."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.pretrained_cfg import WantedInput, colors


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError("networks of timm/ need timm: pip install 'vidsemi[timm]'") from None
    return timm


def names() -> list[str]:
    """Names of all networks, then those with the tag of published weights."""
    timm = _timm()
    return timm.list_models() + timm.list_models(pretrained=True)


def is_video(name: str) -> bool:
    """Whether a network takes videos: none does."""
    return False


def wanted(name: str) -> WantedInput:
    """What a network was made for."""
    cfg = _timm().models.get_pretrained_cfg(name)
    if cfg is None:
        return WantedInput(1, None, None, None, None, None)
    crop = cfg.input_size[-1]
    return WantedInput(1, None, math.floor(crop / cfg.crop_pct), crop, colors(cfg.mean), colors(cfg.std))


def weights(name: str) -> list[str]:
    """Addresses of a network's published weights."""
    cfg = _timm().models.get_pretrained_cfg(name)
    if cfg is None:
        return []
    hub = [f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors"] if cfg.hf_hub_id else []
    return ([cfg.url] if cfg.url else []) + hub


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """The network with fresh weights."""
    return _timm().create_model(name, pretrained=False, num_classes=num_classes, **args)
