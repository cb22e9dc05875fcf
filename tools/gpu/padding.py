"""R(2+1)D with middle planes that tensor cores can read aligned: 45, 230 and 460 planes become 48, 232 and 464.

The new planes compute zero: their weights are zero on both sides of the ReLU, and so are the gradients of these. The
network therefore gives the same outputs, and learns the same. Whether that is faster on a GPU is for the check to say.
"""

import torch
from torch import nn

from tools.bench.train_contenders import Setting

MULTIPLE = 8  # of 16-bit numbers: 16 bytes


def pad_middle_planes(network: nn.Module) -> nn.Module:
    """Pad the planes between the two convolutions of every (2+1)D convolution, in place; returns the network."""
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for first in range(len(sequence) - 3):
            spatial, norm, activation, temporal = sequence[first : first + 4]
            kinds = (nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.Conv3d)
            if all(map(isinstance, (spatial, norm, activation, temporal), kinds)):
                more = -spatial.out_channels % MULTIPLE
                for layer, axis, planes in (
                    (spatial, 0, "out_channels"),
                    (norm, 0, "num_features"),
                    (temporal, 1, "in_channels"),
                ):
                    _pad(layer, axis, more)
                    setattr(layer, planes, getattr(layer, planes) + more)
    return network


@torch.no_grad()
def _pad(layer: nn.Module, axis: int, more: int) -> None:
    """Append zeros to all parameters and statistics of a layer that have planes along an axis."""
    for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        if tensor.dim() > axis:
            shape = list(tensor.shape)
            shape[axis] = more
            padded = torch.cat([tensor, tensor.new_zeros(shape)], dim=axis)
            setattr(layer, name, nn.Parameter(padded) if isinstance(tensor, nn.Parameter) else padded)


class PaddedSetting(Setting):
    """A setting whose network has padded middle planes."""

    def network(self) -> nn.Module:
        """The same network, padded."""
        return pad_middle_planes(super().network())
