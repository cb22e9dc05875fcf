"""timm's image networks (an extra). The input of each is in timm's pretrained_cfg of its name and tag."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from vidsemi.io.errors import UserError
from vidsemi.models.pretrained_cfg import PretrainedConfig, colors


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError("model.timm_not_installed", "timm is not installed: pip install 'vidsemi[timm]'") from None
    return timm


def names() -> list[str]:
    """Names of all networks, then those with the tag of published weights."""
    timm = _timm()
    return [*timm.list_models(), *timm.list_models(pretrained=True)]


def is_video(name: str) -> bool:
    """Whether a network takes clips of several frames: none does."""
    return False


def pretrained_config(name: str) -> PretrainedConfig:
    """The input of a network's published weights."""
    cfg = _timm().models.get_pretrained_cfg(name)
    if cfg is None:
        return PretrainedConfig()
    crop = cfg.input_size[-1]
    resize = math.floor(crop / cfg.crop_pct)
    return PretrainedConfig(resize=resize, crop=crop, mean=colors(cfg.mean), std=colors(cfg.std))


def weights(name: str) -> list[str]:
    """Addresses of a network's published weights."""
    cfg = _timm().models.get_pretrained_cfg(name)
    if cfg is None:
        return []
    hub = [f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors"] if cfg.hf_hub_id else []
    return ([cfg.url] if cfg.url else []) + hub


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights."""
    network: nn.Module = _timm().create_model(name, pretrained=False, num_classes=num_classes, **args)
    return network
