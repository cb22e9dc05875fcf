"""Training in bfloat16: convolutions whose gradients are wrong in it stay in float32."""

import copy
import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.reference_training import assert_close, by_hand, make_data, trained
from vidsemi.models.convolution_trial import keep_in_float32, wrong_convolutions
from vidsemi.models.registry import create_model


@pytest.fixture(scope="module")
def data() -> list:
    return make_data()


class Forgetful(torch.autograd.Function):
    """The identity, which gives no gradient back."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 0


class Faulty(nn.Conv3d):
    """A convolution whose weights get no gradient in bfloat16, as a library's fault may have it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            return functional.conv3d(x, Forgetful.apply(self.weight), self.bias, self.stride, self.padding)
        return super().forward(x)


def test_convolutions_that_bfloat16_gets_wrong_stay_in_float32(data: list, caplog: pytest.LogCaptureFixture):
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv3d(3, 6, 3, 2), nn.ReLU(), Faulty(6, 6, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 5)
        )

    caplog.set_level(logging.INFO)
    ours, _, _ = trained(network(), data, precision="bfloat16")
    assert "1 convolutions stay in float32" in caplog.text and caplog.text.rstrip().endswith(": 2")
    exact = by_hand(network(), data)
    assert (
        functional.cosine_similarity(
            (ours[2].weight - network()[2].weight).flatten(), (exact[2].weight - network()[2].weight).flatten(), 0
        )
        > 0.98
    )
    assert not torch.equal(ours[0].weight, exact[0].weight)  # this layer trained in bfloat16
    assert_close(ours, exact, rtol=0.1, atol=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours[2](torch.ones(1, 6, 1, 1, 1)).dtype == torch.bfloat16  # the network is as it was


@pytest.mark.slow
def test_all_gradients_of_r2plus1d_are_correct_in_bfloat16():
    """It has a 3x1x1 convolution over two frames, which oneDNN gets wrong on some CPUs."""
    torch.manual_seed(0)
    network = create_model("r2plus1d_10", num_classes=5, frames=8, args={"width": 0.1875})
    clips = torch.randn(8, 3, 8, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    targets = torch.arange(8) % 5
    exact = copy.deepcopy(network)
    functional.cross_entropy(exact(clips), targets).backward()
    wrong = wrong_convolutions(network, clips, "bfloat16", gradients=True)
    keep_in_float32(network, wrong)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.train()(clips)
    functional.cross_entropy(logits.float(), targets).backward()
    gradients = dict(exact.named_parameters())
    for name, parameter in network.named_parameters():
        if parameter.ndim == 5:
            similarity = functional.cosine_similarity(parameter.grad.flatten(), gradients[name].grad.flatten(), 0)
            assert similarity > 0.6, (name, wrong)
