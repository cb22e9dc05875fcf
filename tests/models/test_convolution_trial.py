"""Convolutions that a device gets wrong in reduced precision stay in float32, in training and in scoring."""

import copy
import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.reference_training import CPU, SPEC, assert_close, batch, by_hand, make_data, trained
from tests.helpers.virtual_cuda import virtual_cuda
from vidsemi.config import Recipe, Runtime
from vidsemi.inference.model import Inference, Precision
from vidsemi.models.convolution_trial import keep_in_float32, wrong_convolutions
from vidsemi.models.registry import create_model
from vidsemi.training.train_step import TrainStep


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


class HalvedIn16Bits(nn.Conv3d):
    """A convolution whose output is wrong in 16 bits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y if y.dtype == torch.float32 else y / 2


class Untraceable(nn.Module):
    """Its convolutions stay modules of their own when batch norm is folded into others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv3d(3, 6, 3, 2), HalvedIn16Bits(6, 6, 1)
        self.last = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x).relu()) if len(x) else x
        return self.last(x.mean((2, 3, 4)))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_scoring_keeps_in_float32_what_16_bits_get_wrong(precision: Precision, data: list):
    clips, _ = data[0]
    exact = Inference(Untraceable(), SPEC, CPU)
    rough = Inference(Untraceable(), SPEC, CPU, precision)
    assert (exact.in_float32, rough.in_float32) == ([], ["second"])
    torch.testing.assert_close(rough([clips]), exact([clips]), atol=0.01, rtol=0)
    assert not torch.equal(rough([clips]), exact([clips]))


@pytest.mark.parametrize(("version", "warnings"), [(91100, 1), (92600, 0)])
def test_tf32_is_turned_off_where_cudnn_gets_it_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: int, warnings: int
):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    with virtual_cuda():
        before = torch.backends.cudnn.allow_tf32
        try:
            torch.backends.cudnn.allow_tf32 = True
            for _ in range(2):
                Inference(Untraceable(), SPEC, torch.device("cuda:0"))
            assert torch.backends.cudnn.allow_tf32 == (not warnings)
        finally:
            torch.backends.cudnn.allow_tf32 = before
    assert len(caplog.records) == warnings


def test_a_run_that_moves_to_another_device_tries_its_convolutions_again(data: list):
    def step(network: nn.Module) -> TrainStep:
        recipe = Recipe(examples=8, batch_size=8, learning_rate=0.1, precision="bfloat16")
        return TrainStep(network, recipe, SPEC, 1, CPU, Runtime())

    first = step(Untraceable())
    first.run([batch(*data[0])], [0], 8, 0.1)
    state = first.state()
    assert state["in_float32"] == ["second"]
    for device, names in ((state["device"], ["second"]), ("another", None)):
        resumed = step(Untraceable())
        resumed.load({**state, "device": device})
        assert resumed.state()["in_float32"] == names
        resumed.run([batch(*data[0])], [0], 8, 0.1)
        assert resumed.state()["in_float32"] == ["second"]


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
