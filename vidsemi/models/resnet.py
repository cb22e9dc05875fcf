"""ResNet and ResNeXt for images, with the call of the video networks: an image is a clip of one frame.

The ResNeXt are those of the paper's image tables (Mahajan et al. 2018): 32 groups of 4, 8, 16 or 48 planes.
"""

from typing import Literal

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from vidsemi.errors import UserError

Block = type[BasicBlock] | type[Bottleneck]

# By name: block, blocks of the four layers, groups of a convolution, planes of a group.
NETWORKS: dict[str, tuple[Block, list[int], int, int]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2], 1, 64),
    "resnet50": (Bottleneck, [3, 4, 6, 3], 1, 64),
    "resnext50_32x4d": (Bottleneck, [3, 4, 6, 3], 32, 4),
    "resnext101_32x4d": (Bottleneck, [3, 4, 23, 3], 32, 4),
    "resnext101_32x8d": (Bottleneck, [3, 4, 23, 3], 32, 8),
    "resnext101_32x16d": (Bottleneck, [3, 4, 23, 3], 32, 16),
    "resnext101_32x48d": (Bottleneck, [3, 4, 23, 3], 32, 48),
}


class ImageResNet(ResNet):
    """torchvision's ResNet; keys of its state dict are torchvision's own, but for the `cifar` stem.

    Args:
        name: one of `NETWORKS`.
        num_classes: outputs of the head.
        frames: must be 1.
        stem: `imagenet` (7x7 with stride 2 and a max-pool) or `cifar` (3x3 and neither, for images of 32 × 32; He et
            al. 2016, section 4.2).
    """

    def __init__(self, name: str, num_classes: int, frames: int, stem: Literal["imagenet", "cifar"] = "imagenet"):
        if frames != 1:
            raise UserError(f"{name} takes images: set its frames to 1, not {frames}")
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"stem is imagenet or cifar, not {stem}")
        block, layers, groups, width = NETWORKS[name]
        super().__init__(block, layers, num_classes, groups=groups, width_per_group=width)
        if stem == "cifar":
            self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.maxpool = nn.Identity()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 1, H, W) normalised float → (N, num_classes) logits."""
        return super().forward(clips.squeeze(2))
