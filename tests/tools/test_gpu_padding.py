"""Padded middle planes: the same outputs, the same training, and the same weights in the corner of the padded ones."""

import copy

import torch
from torch import nn
from torch.nn import functional

from tools.bench.train_contenders import Setting
from tools.gpu.padding import PaddedSetting, pad_middle_planes
from vidsemi.models.registry import create_model


def trained(network: nn.Module, clips: torch.Tensor) -> nn.Module:
    optimizer = torch.optim.SGD(network.train().parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(network(clips), torch.arange(len(clips))).backward()
        optimizer.step()
    return network


def test_a_padded_network_computes_and_learns_the_same():
    torch.manual_seed(0)
    network = create_model("r2plus1d_10", num_classes=4, frames=4, args={"width": 0.125})
    padded, clips = pad_middle_planes(copy.deepcopy(network)), torch.randn(4, 3, 4, 16, 16)
    middle = [layer for layer in padded.modules() if isinstance(layer, nn.Conv3d) and layer.kernel_size[0] == 3]
    assert middle and all(layer.in_channels % 8 == 0 for layer in middle)
    assert sum(own.numel() for own in padded.parameters()) > sum(own.numel() for own in network.parameters())
    torch.testing.assert_close(padded.eval()(clips), network.eval()(clips), rtol=1e-5, atol=1e-6)
    trained(network, clips), trained(padded, clips)
    torch.testing.assert_close(padded.eval()(clips), network.eval()(clips), rtol=1e-3, atol=1e-4)
    state = padded.state_dict()
    for name, tensor in network.state_dict().items():
        corner = state[name][tuple(map(slice, tensor.shape))]
        torch.testing.assert_close(corner, tensor, rtol=1e-3, atol=1e-4)
    assert not any(layer.weight[:, own.in_channels :].any() for own, layer in convolutions(network, padded))


def convolutions(network: nn.Module, padded: nn.Module) -> list[tuple[nn.Conv3d, nn.Conv3d]]:
    pairs = zip(network.modules(), padded.modules(), strict=True)
    return [pair for pair in pairs if isinstance(pair[0], nn.Conv3d)]


def test_planes_that_fit_are_left_alone():
    network = pad_middle_planes(nn.Sequential(nn.Conv3d(3, 16, 1), nn.BatchNorm3d(16), nn.ReLU(), nn.Conv3d(16, 4, 1)))
    assert (network[0].out_channels, network[1].num_features, network[3].in_channels) == (16, 16, 16)


def test_the_check_trains_the_padded_network():
    setting = Setting("r2plus1d_10", {"width": 0.125}, 4, 16, 2, "cpu")
    padded = PaddedSetting(*vars(setting).values()).network()
    assert padded.stem[0].out_channels % 8 == 0 != setting.network().stem[0].out_channels % 8
