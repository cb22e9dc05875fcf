"""ResNet and ResNeXt for images, called like the video networks: an image is a clip of one frame.

The ResNeXts are those of the paper's image tables (Mahajan et al. 2018): 32 groups of 4, 8, 16 or 48 planes.
"""

from typing import Any, Literal

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from vidsemi.models.pretrained_cfg import check_one_frame

BASE_PLANES = 64
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


class ImageResNet(ResNet):  # type: ignore[misc] # torchvision has no types
    """torchvision's ResNet, with the layout of its state dict; only the `cifar` stem has another shape.

    The stem is `imagenet` (7x7 with stride 2 and a max-pool) or `cifar` (3x3 and neither, for images of 32 × 32; He et
    al. 2016, section 4.2). `width` multiplies the planes of every layer; 1 is the published network.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        frames: int,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        width: float = 1.0,
    ):
        check_one_frame(name, frames)
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"stem is {stem}; must be imagenet or cifar")
        block, layers, groups, planes_of_group = NETWORKS[name]
        if isinstance(width, bool) or not 1 / 64 <= width <= 16:
            raise ValueError(f"width is {width}; must be from 1/64 to 16")
        if width != 1 and groups > 1:
            raise ValueError("networks with groups take no width")
        self.base_planes = round(BASE_PLANES * width)
        super().__init__(block, layers, num_classes, groups=groups, width_per_group=planes_of_group)
        if stem == "cifar" or width != 1:
            kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
            self.conv1 = nn.Conv2d(3, self.base_planes, kernel, stride, padding=kernel // 2, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        if stem == "cifar":
            self.maxpool = nn.Identity()
        if width != 1:
            self.bn1 = nn.BatchNorm2d(self.base_planes)
            self.fc = nn.Linear(self.inplanes, num_classes)

    def _make_layer(self, block: Block, planes: int, *args: Any, **more: Any) -> nn.Sequential:
        """Build one of the four layers with this network's number of planes."""
        if planes == BASE_PLANES:
            self.inplanes = self.base_planes
        layer: nn.Sequential = super()._make_layer(block, planes // BASE_PLANES * self.base_planes, *args, **more)
        return layer

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 1, H, W) normalized float → (N, num_classes) logits."""
        logits: torch.Tensor = super().forward(clips.squeeze(2))
        return logits
