"""pytorchvideo's classification networks.

Its hub documents their input in prose only: "8x8" means 8 frames at a stride of 8, and the tutorials give the sizes.
X3D and MViT get the crop that they are built for, at which their heads see a single position.
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from vidsemi.models.pretrained_cfg import IMAGENET, PretrainedConfig

MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
SLOWFAST_ALPHA = 4  # frames of the fast pathway for each of the slow one
HUB = ("resnet", "slowfast", "csn", "r2plus1d", "x3d", "vision_transformers", "efficient_x3d_mobile_cpu")  # modules


class Network(NamedTuple):
    """Clip length, stride, shorter side, crop, and the name of the argument for the number of classes."""

    frames: int
    stride: int
    resize: int
    crop: int
    classes: str = "model_num_class"


NETWORKS = {
    "c2d_r50": Network(8, 8, 256, 256),
    "i3d_r50": Network(8, 8, 256, 256),
    "slow_r50": Network(8, 8, 256, 256),
    "slowfast_r50": Network(32, 2, 256, 256),
    "slowfast_r101": Network(32, 2, 256, 256),
    "slowfast_16x8_r101_50_50": Network(64, 2, 256, 256),
    "csn_r101": Network(32, 2, 256, 256),
    "r2plus1d_r50": Network(16, 4, 256, 256),
    "x3d_xs": Network(4, 12, 182, 160),
    "x3d_s": Network(13, 6, 182, 160),
    "x3d_m": Network(16, 5, 256, 224),
    "x3d_l": Network(16, 5, 356, 312),
    "mvit_base_16": Network(1, 1, 256, 224, "head_num_classes"),
    "mvit_base_16x4": Network(16, 4, 256, 224, "head_num_classes"),
    "mvit_base_32x3": Network(32, 3, 256, 224, "head_num_classes"),
    "efficient_x3d_xs": Network(4, 12, 182, 160, "num_classes"),
    "efficient_x3d_s": Network(13, 6, 182, 160, "num_classes"),
}


def _hub() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its own use of torch.jit.script
        return import_module("pytorchvideo.models.hub")


def names() -> list[str]:
    """Names of all networks."""
    return list(NETWORKS)


def is_video(name: str) -> bool:
    """Whether a network takes clips of several frames."""
    return NETWORKS[name].frames > 1


def pretrained_config(name: str) -> PretrainedConfig:
    """The input of a network's published weights."""
    network = NETWORKS[name]
    mean, std = (MEAN, STD) if network.frames > 1 else (IMAGENET.mean, IMAGENET.std)
    return PretrainedConfig(network.frames, network.stride, network.resize, network.crop, mean, std)


def weights(name: str) -> list[str]:
    """Addresses of a network's published weights."""
    _hub()
    files = (import_module(f"pytorchvideo.models.hub.{file}") for file in HUB)
    tables = [getattr(file, table, {}) for file in files for table in ("checkpoint_paths", "_checkpoint_paths")]
    return [table[name] for table in tables if name in table]


def build(name: str, num_classes: int, frames: int, args: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights."""
    own: dict[str, Any] = {NETWORKS[name].classes: num_classes}
    if name.startswith(("x3d", "r2plus1d")):
        own["head_activation"] = None  # its own is a softmax, and we want logits
    network = getattr(_hub(), name)(pretrained=False, **{**own, **args})
    return SlowFastAdapter(network) if name.startswith("slowfast") else network


class SlowFastAdapter(nn.Module):
    """Calls a SlowFast network with one clip: all frames for the fast pathway, every fourth for the slow one."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, T, H, W) → (N, classes)."""
        frames = clips.shape[2]
        slow = torch.linspace(0, frames - 1, frames // SLOWFAST_ALPHA, device=clips.device).long()
        pathways: Sequence[torch.Tensor] = [clips.index_select(2, slow), clips]
        logits: torch.Tensor = self.network(pathways)
        return logits
