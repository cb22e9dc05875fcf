"""ResNet for images, with the call of the video networks: an image is a clip of one frame."""

import torch
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from vidsemi.errors import UserError

LAYERS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


class ImageResNet(ResNet):
    """torchvision's ResNet; keys of its state dict are torchvision's own."""

    def __init__(self, depth: int, num_classes: int, frames: int):
        if frames != 1:
            raise UserError(f"resnet{depth} takes images: set its frames to 1, not {frames}")
        block, layers = LAYERS[depth]
        super().__init__(block, layers, num_classes=num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 1, H, W) normalised float → (N, num_classes) logits."""
        return super().forward(clips.squeeze(2))
