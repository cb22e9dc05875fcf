"""The networks against the paper's figures and their own definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from vidsemi.errors import UserError
from vidsemi.models.create import MODELS, create_model
from vidsemi.models.flops import measure_cost
from vidsemi.models.r2plus1d import R2Plus1D, middle_planes, temporal_strides


@pytest.mark.parametrize(
    ("name", "frames", "parameters", "gmacs"),
    [
        ("r2plus1d_18", 8, 33.37, 20.75),  # Table 7: 33M, 21B
        ("r2plus1d_18", 32, 33.37, 82.99),  # 33M, 83B
        ("r2plus1d_34", 8, 63.70, 38.09),  # 64M, 38B
        ("r2plus1d_34", 32, 63.70, 152.36),
    ],
)
def test_cost_is_that_of_table_7(name: str, frames: int, parameters: float, gmacs: float):
    cost = measure_cost(create_model(name, num_classes=400, frames=frames), frames=frames, size=112)
    assert cost.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
    assert cost.gmacs_per_view == pytest.approx(gmacs, abs=0.005)


def test_multiply_adds_by_hand():
    network = create_model("r2plus1d_10", num_classes=7, frames=4, args={"width": 0.125})
    total = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv3d):
            total += output[0].numel() * module.in_channels * int(np.prod(module.kernel_size))
        elif isinstance(module, nn.Linear):
            total += module.in_features * module.out_features

    for module in network.modules():
        module.register_forward_hook(count)
    network(torch.zeros(2, 3, 4, 24, 24))
    expected = total / 1e9
    assert measure_cost(network, frames=4, size=24).gmacs_per_view == pytest.approx(expected, rel=1e-12)


def test_middle_planes_keep_the_parameters_of_a_3d_convolution():
    pairs = {(64, 64): 144, (64, 128): 230, (128, 128): 288, (128, 256): 460, (256, 256): 576, (256, 512): 921}
    assert {pair: middle_planes(*pair) for pair in pairs} == pairs
    for planes_in, planes_out in pairs:
        middle = middle_planes(planes_in, planes_out)
        separated = 9 * planes_in * middle + 3 * middle * planes_out
        full = 27 * planes_in * planes_out
        assert full - (9 * planes_in + 3 * planes_out) < separated <= full


@pytest.mark.parametrize(
    ("frames", "strides"),
    [(32, (1, 2, 2, 2)), (8, (1, 2, 2, 2)), (7, (1, 2, 2, 1)), (4, (1, 2, 2, 1)), (3, (1, 2, 1, 1)), (1, (1, 2, 1, 1))],
)
def test_short_clips_are_halved_less(frames: int, strides: tuple[int, ...]):
    assert temporal_strides(frames) == strides


def test_shapes_of_the_layers():
    network = R2Plus1D(18, 400, 8)
    shapes = {}
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(lambda _, __, out, name=name: shapes.update({name: out.shape[1:]}))
    assert network(torch.zeros(1, 3, 8, 112, 112)).shape == (1, 400)
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "stem": (64, 8, 56, 56),
        "layer1": (64, 8, 56, 56),
        "layer2": (128, 4, 28, 28),
        "layer3": (256, 2, 14, 14),
        "layer4": (512, 1, 7, 7),
    }
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}
    assert not any(isinstance(module, nn.MaxPool3d) for module in network.modules())


def test_state_dict_has_the_published_layout():
    shapes = {key: tuple(value.shape) for key, value in R2Plus1D(34, 359, 32).state_dict().items()}
    assert shapes["stem.0.weight"] == (45, 3, 1, 7, 7)
    assert shapes["stem.3.weight"] == (64, 45, 3, 1, 1)
    assert shapes["layer1.2.conv2.0.3.weight"] == (64, 144, 3, 1, 1)
    assert shapes["layer2.0.conv1.0.0.weight"] == (230, 64, 1, 3, 3)
    assert shapes["layer2.0.conv2.0.0.weight"] == (288, 128, 1, 3, 3)  # torchvision's rule would give 230
    assert shapes["layer4.0.conv2.0.1.running_var"] == (1152,)
    assert shapes["layer3.0.downsample.0.weight"] == (256, 128, 1, 1, 1)
    assert shapes["fc.weight"] == (359, 512)
    assert not any(
        key.endswith(".bias") for key in shapes if "conv" in key and shapes[key.replace("bias", "weight")][1:]
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_clips_and_gives_logits(name: str):
    frames = 1 if name.startswith("resnet") else 4
    network = create_model(name, num_classes=5, frames=frames).eval()
    assert network(torch.zeros(2, 3, frames, 32, 32)).shape == (2, 5)
    assert network.fc.out_features == 5


@pytest.mark.parametrize(
    ("name", "frames", "args", "words"),
    [
        ("r2plus1d_19", 8, {}, "did you mean 'r2plus1d_18'"),
        ("transformer", 8, {}, "there are: r2plus1d_10"),
        ("r2plus1d_18", 8, {"widht": 1}, "does not take these args"),
        ("resnet50", 8, {}, "frames to 1"),
        ("r2plus1d_10", 8, {"width": 0}, "width 0 does not lie between"),
        ("r2plus1d_10", 8, {"width": float("nan")}, "width nan does not lie between"),
    ],
)
def test_what_does_not_exist_is_said(name: str, frames: int, args: dict, words: str):
    with pytest.raises(UserError, match=words):
        create_model(name, num_classes=5, frames=frames, args=args)
