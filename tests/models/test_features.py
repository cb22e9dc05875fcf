"""Feature extractors: a network without its head returns what the head takes in."""

import pytest
import torch

from tests.helpers.builders import spec_for
from tests.helpers.errors import refused
from vidsemi.inference.model import fused
from vidsemi.models.features import check_features, head_name, linear_layer, remove_head

SMALL = [
    ("r2plus1d_10", 4, {"width": 0.0625}, 16),
    ("resnet18", 1, {"stem": "cifar", "width": 0.25}, 16),
    ("torchvision/mobilenet_v3_small", None, {}, 32),
    ("pytorchvideo/x3d_xs", None, {}, 160),
    ("timm/resnet10t", None, {}, 32),
]


@pytest.mark.parametrize(("model", "frames", "args", "size"), SMALL, ids=[case[0] for case in SMALL])
@torch.inference_mode()
@pytest.mark.slow
def test_the_head_on_the_features_gives_the_logits(model: str, frames: int | None, args: dict, size: int):
    if model.startswith("timm"):
        pytest.importorskip("timm")
    spec = spec_for(model, 5, frames, **args)
    torch.manual_seed(0)
    network = spec.build().eval()
    clips = torch.randn(2, 3, spec.input.frames, size, size)
    logits = network(clips)
    name = head_name(spec)
    head = linear_layer(network, name)
    remove_head(network, name)
    features = fused(network)(clips)
    assert features.shape == (2, head.in_features)
    torch.testing.assert_close(head(features), logits, atol=1e-4, rtol=1e-4)
    check_features(spec)


@pytest.mark.parametrize("model", ["torchvision/squeezenet1_1", "torchvision/s3d"])
def test_a_head_that_is_not_a_linear_layer_is_refused(model: str):
    with refused("model.no_linear_head", model):
        check_features(spec_for(model, 5))
