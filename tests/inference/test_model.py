"""A network prepared for inference: what its preparation changes, and what it does not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import load_manifest
from vidsemi.data.normalize import normalize
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference, Precision
from vidsemi.io.errors import UserError
from vidsemi.models import resnet, weights_file
from vidsemi.models.registry import create_model


def test_bfloat16_stays_near_float32(shapes: Path, weights: Path):
    """An untrained network with a large head: differences of a few thousandths, and not none."""
    manifest = load_manifest(shapes / "test.csv")
    network, spec = weights_file.load_weights(weights)
    reader = ViewReader(spec.input, 4)
    clips = [reader(request) for example in range(16) for request in reader.requests(manifest.row(example))]
    exact, rough = (
        Inference(network, spec.input, torch.device("cpu"), precision)(clips) for precision in ("float32", "bfloat16")
    )
    assert exact.dtype == rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.05
    assert torch.allclose(rough.sum(dim=1), torch.ones(len(rough)), atol=1e-5)


def test_batch_norm_in_the_convolutions_changes_nothing_but_rounding(weights: Path):
    network, spec = weights_file.load_weights(weights)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    infer = Inference(network, spec.input, torch.device("cpu"))
    clips = np.random.default_rng(0).integers(0, 256, (9, 4, 3, 16, 16), dtype=np.uint8)
    assert network.training
    with torch.no_grad():
        expected = network.eval()(normalize(torch.from_numpy(clips), spec.input)).softmax(dim=1)
    torch.testing.assert_close(infer([clips[:4], clips[4:]]), expected, atol=1e-6, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "BatchNorm" not in str(infer._network) and "BatchNorm" in str(network)


@pytest.mark.parametrize("name", ["r2plus1d_10", "r2plus1d_18", "r2plus1d_50", "resnet18", "resnext50_32x4d"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.slow
def test_every_model_scores_as_it_was_trained(name: str, precision: Precision, monkeypatch: pytest.MonkeyPatch):
    frames = 1 if name.startswith("res") else 2
    torch.manual_seed(0)
    args = {"resnet18": {"width": 0.25}, "resnext50_32x4d": {}}.get(name, {"width": 0.0625})
    block, layers, *groups = resnet.NETWORKS["resnext50_32x4d"]  # its 16 blocks take 0.3 GB here
    monkeypatch.setitem(resnet.NETWORKS, "resnext50_32x4d", (block, [1] * len(layers), *groups))
    network = create_model(name, num_classes=5, frames=frames, args=args)
    with torch.no_grad():
        network(torch.randn(2, 3, frames, 32, 32))  # running statistics
    network.eval()
    spec = InputSpec(frames, 1, (32, 32), 32, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    clips = np.random.default_rng(0).integers(0, 256, (3, frames, 3, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        expected = network(normalize(torch.from_numpy(clips), spec)).softmax(dim=1)
    found = Inference(network, spec, torch.device("cpu"), precision)([clips])
    torch.testing.assert_close(found, expected, atol=1e-5 if precision == "float32" else 0.05, rtol=0)


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    class DataDependent(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = x.mean(dim=(1, 2, 3, 4))
            return torch.stack([bright, -bright], dim=1) if bright.sum() > 0 else torch.zeros(len(x), 2)

    spec = InputSpec(1, 1, (2, 2), 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    infer = Inference(DataDependent(), spec, torch.device("cpu"))
    assert infer([np.full((1, 1, 3, 2, 2), 255, np.uint8)])[0].tolist() == pytest.approx([0.8808, 0.1192], abs=1e-4)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), None], ids=["gpu", "cpu"])
def test_out_of_memory_is_a_user_error(error: Exception | None):
    class Large(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if error is None:
                return torch.empty(1 << 50)
            raise error

    spec = InputSpec(1, 1, (2, 2), 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    infer = Inference(Large(), spec, torch.device("cpu"))
    with pytest.raises(UserError, match="cpu with 3 clips; lower --clips-per-forward") as caught:
        infer([np.zeros((3, 1, 3, 2, 2), np.uint8)])
    assert caught.value.code == "device.out_of_memory"
