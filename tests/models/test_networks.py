"""The networks against the paper's numbers and their own definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.builders import spec_for
from tests.helpers.errors import refused
from vidsemi.models.r2plus1d import R2Plus1D, middle_planes, temporal_strides
from vidsemi.models.registry import RESNETS, create_model, meta_model


def cost_by_hand(network: nn.Module, clips: torch.Tensor) -> tuple[int, int]:
    """Parameters, and multiply-adds of convolutions and linear layers from the shapes that they see."""
    total = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            total += output[0].numel() * module.in_channels // module.groups * int(np.prod(module.kernel_size))
        elif isinstance(module, nn.Linear):
            total += module.in_features * module.out_features

    for module in network.modules():
        module.register_forward_hook(count)
    network.eval()(clips)
    return sum(parameter.numel() for parameter in network.parameters()), total


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs_8", "gmacs_32"),
    [
        ("r2plus1d_10", 14.56, 10.34, 41.37),
        ("r2plus1d_18", 33.37, 20.75, 82.99),  # Table 7: 33M, 21B and 83B
        ("r2plus1d_34", 63.70, 38.09, 152.36),  # 64M, 38B
        ("r2plus1d_50", 46.99, 28.83, 115.33),
        ("r2plus1d_101", 86.05, 44.12, 176.47),
        ("r2plus1d_152", 118.23, 63.00, 252.00),
    ],
)
@pytest.mark.slow
def test_costs_of_r2plus1d(name: str, parameters: float, gmacs_8: float, gmacs_32: float):
    for frames, gmacs in ((8, gmacs_8), (32, gmacs_32)):
        network = meta_model(name, num_classes=400, frames=frames)
        found = cost_by_hand(network, torch.zeros(1, 3, frames, 112, 112, device="meta"))
        assert found[0] / 1e6 == pytest.approx(parameters, abs=0.005)
        assert found[1] / 1e9 == pytest.approx(gmacs, abs=0.005)


@pytest.mark.parametrize(
    ("name", "frames", "gmacs"), [("r2plus1d_34", 8, 49.8), ("r2plus1d_34", 32, 199.0), ("r2plus1d_152", 32, 329.1)]
)
def test_costs_at_128_are_those_that_the_authors_list(name: str, frames: int, gmacs: float):
    """VMZ's model zoo, whose numbers are for clips of 128 × 128; for depth 152 it also lists 118.0M parameters."""
    network = meta_model(name, num_classes=400, frames=frames)
    found = cost_by_hand(network, torch.zeros(1, 3, frames, 128, 128, device="meta"))
    assert found[1] / 1e9 == pytest.approx(gmacs, abs=0.06)
    weights = sum(value.numel() for value in network.parameters() if value.ndim > 1)
    assert weights / 1e6 == pytest.approx({"r2plus1d_34": 63.65, "r2plus1d_152": 118.07}[name], abs=0.05)


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("resnet18", 11_689_512, 1.814),
        ("resnet50", 25_557_032, 4.089),
        ("resnext50_32x4d", 25_028_904, 4.230),
        ("resnext101_32x4d", 44_177_704, 7.970),
        ("resnext101_32x8d", 88_791_336, 16.414),
        ("resnext101_32x16d", 194_026_792, 36.163),
        ("resnext101_32x48d", 828_411_176, 153.310),  # the paper: 829M
    ],
)
def test_costs_of_resnets(name: str, parameters: int, gmacs: float):
    """Those that torchvision and the authors of ResNeXt-WSL publish."""
    network = meta_model(name, num_classes=1000, frames=1)
    found = cost_by_hand(network, torch.zeros(1, 3, 1, 224, 224, device="meta"))
    assert found[0] == parameters
    assert found[1] / 1e9 == pytest.approx(gmacs, abs=0.0006)


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


def shapes_of(network: nn.Module, clips: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Shape of what each module with weights puts out, by name."""
    shapes = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            module.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    network.eval()(clips)
    return shapes


@pytest.mark.parametrize("frames", [1, 3, 4, 7, 8, 13, 32])
@pytest.mark.parametrize(("depth", "blocks"), [(18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))])
def test_shapes_of_every_layer_of_basic_blocks(depth: int, blocks: tuple[int, ...], frames: int):
    network = meta_model(f"r2plus1d_{depth}", num_classes=400, frames=frames)
    shapes = shapes_of(network, torch.zeros(1, 3, frames, 112, 112, device="meta"))
    halve = [False, True, frames >= 4, frames >= 8]
    expected = {"stem.0": (45, frames, 56, 56), "stem.3": (64, frames, 56, 56), "fc": (400,)}
    time, side, planes_in = frames, 56, 64
    for layer, (count, planes) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        for block in range(count):
            first = f"layer{layer + 1}.{block}"
            before = time
            if block == 0 and layer > 0:
                time, side = -(-time // 2) if halve[layer] else time, side // 2
                expected[f"{first}.downsample.0"] = (planes, time, side, side)
            middle = 27 * planes_in * planes // (9 * planes_in + 3 * planes)
            expected[f"{first}.conv1.0.0"] = (middle, before, side, side)
            expected[f"{first}.conv1.0.3"] = (planes, time, side, side)
            expected[f"{first}.conv2.0.0"] = (27 * planes * planes // (12 * planes), time, side, side)
            expected[f"{first}.conv2.0.3"] = (planes, time, side, side)
            planes_in = planes
    assert shapes == expected


@pytest.mark.parametrize(("depth", "blocks"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))])
def test_shapes_of_every_layer_of_bottlenecks(depth: int, blocks: tuple[int, ...]):
    network = meta_model(f"r2plus1d_{depth}", num_classes=400, frames=16)
    shapes = shapes_of(network, torch.zeros(1, 3, 16, 112, 112, device="meta"))
    expected = {"stem.0": (45, 16, 56, 56), "stem.3": (64, 16, 56, 56), "fc": (400,)}
    time, side = 16, 56
    for layer, (count, planes) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        for block in range(count):
            name = f"layer{layer + 1}.{block}"
            expected[f"{name}.conv1.0"] = (planes, time, side, side)
            before = time
            if block == 0 and layer > 0:
                time, side = time // 2, side // 2
            if block == 0:
                expected[f"{name}.downsample.0"] = (4 * planes, time, side, side)
            expected[f"{name}.conv2.0.0"] = (27 * planes * planes // (12 * planes), before, side, side)
            expected[f"{name}.conv2.0.3"] = (planes, time, side, side)
            expected[f"{name}.conv3.0"] = (4 * planes, time, side, side)
    assert shapes == expected


def test_batch_norm_and_initialization_are_those_of_the_reference():
    torch.manual_seed(0)
    network = R2Plus1D(18, 400, 8)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}
    assert not any(isinstance(module, nn.MaxPool3d) for module in network.modules())
    for module in network.modules():
        if isinstance(module, nn.Conv3d):  # MSRA: variance 2 / (planes out × kernel)
            expected = (2 / (module.out_channels * np.prod(module.kernel_size))) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)
            assert module.bias is None


def test_the_cifar_stem_keeps_32_by_32():
    network = meta_model("resnet18", num_classes=10, frames=1, args={"stem": "cifar"})
    shapes = shapes_of(network, torch.zeros(1, 3, 1, 32, 32, device="meta"))
    assert shapes["conv1"] == (64, 32, 32)
    assert shapes["layer1.0.conv1"] == (64, 32, 32)
    assert shapes["layer4.1.conv2"] == (512, 4, 4)


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_width_multiplies_the_planes_of_every_layer(name: str, stem: str):
    """All layers have the same names and kernels; only planes differ, except the three colors and the classes."""
    whole, narrow = (
        {
            key: tuple(value.shape)
            for key, value in meta_model(name, num_classes=11, frames=1, args=args).state_dict().items()
        }
        for args in ({"stem": stem}, {"stem": stem, "width": 0.25})
    )
    kept = {1, 3, 7, 11}  # kernels, colors, classes
    assert narrow == {key: tuple(n if n in kept else n // 4 for n in shape) for key, shape in whole.items()}
    built = create_model(name, num_classes=11, frames=1, args={"stem": stem, "width": 0.25})
    for module in built.modules():
        if isinstance(module, nn.Conv2d):  # MSRA: variance 2 / (planes out × kernel)
            expected = (2 / (module.out_channels * np.prod(module.kernel_size))) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.2)
    assert built(torch.zeros(2, 3, 1, 32, 32)).shape == (2, 11)


def test_state_dict_has_the_published_layout():
    network = meta_model("r2plus1d_34", num_classes=359, frames=32)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
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


SMALL = ["r2plus1d_10", "r2plus1d_50", "resnet18", "resnext50_32x4d"]


@pytest.mark.parametrize("name", SMALL)
def test_networks_take_clips_and_give_logits(name: str):
    frames, args = (1, {}) if name in RESNETS else (4, {"width": 0.25})
    network = create_model(name, num_classes=5, frames=frames, args=args).eval()
    assert network(torch.zeros(2, 3, frames, 32, 32)).shape == (2, 5)
    assert spec_for(name, 5, frames).head_keys == {"fc.weight", "fc.bias"}


def test_a_meta_model_has_no_memory_and_draws_no_numbers():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    for name in ("r2plus1d_10", "pytorchvideo/x3d_xs"):
        network = meta_model(name, num_classes=5, frames=4)
        assert all(tensor.is_meta for tensor in network.state_dict().values())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "frames", "args", "problem", "mentions"),
    [
        ("r2plus1d_19", 8, {}, "unknown", "'r2plus1d_18'"),
        ("transformer", 8, {}, "unknown", "vidsemi models"),
        ("mvit_v2_s", 8, {}, "unknown", "'torchvision/mvit_v2_s'"),
        ("torchvision/mvit_v3_s", 8, {}, "unknown", "'torchvision/mvit_v2_s'"),
        ("pytorchvideo/x3d", 8, {}, "unknown", "'pytorchvideo/x3d_"),
        ("detectron/mask_rcnn", 8, {}, "unknown", "vidsemi models"),
        ("torchvision/maskrcnn_resnet50_fpn", 1, {}, "unknown", ""),
        ("resnet50", 8, {}, "takes_images", "8"),
        ("torchvision/resnet50", 8, {}, "takes_images", "8"),
        ("torchvision/resnet50", 1, {"weights": "DEFAULT"}, "refused_arg", "weights"),
        ("r2plus1d_18", 8, {"widht": 1}, "invalid_args", "widht"),
        ("resnet18", 1, {"stem": "mnist"}, "invalid_args", "mnist"),
        ("resnet18", 1, {"width": 0}, "invalid_args", "width"),
        ("resnext50_32x4d", 1, {"width": 0.5}, "invalid_args", "groups"),
        ("r2plus1d_10", 8, {"width": 0}, "invalid_args", "width"),
        ("r2plus1d_10", 8, {"width": float("nan")}, "invalid_args", "width"),
    ],
)
@pytest.mark.slow
def test_networks_and_arguments_that_do_not_exist(name: str, frames: int, args: dict, problem: str, mentions: str):
    with refused(f"model.{problem}", name, mentions):
        create_model(name, num_classes=5, frames=frames, args=args)
