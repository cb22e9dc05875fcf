"""Weights of other programs: published layouts load to exactly the outputs of their own network."""

import hashlib
import http.server
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

from tests.helpers.builders import spec_for, zeros_of
from tests.helpers.errors import refused
from tests.helpers.servers import send, serve
from vidsemi.io.files import fingerprint_file
from vidsemi.models import r2plus1d, resnet, weights_file
from vidsemi.models.build import initialize_from
from vidsemi.models.registry import create_model
from vidsemi.models.weights import read_weights


def published_r2plus1d(blocks: list[int], classes: int) -> nn.Module:
    """The IG-65M networks as their port builds them, without a line of ours.

    torchvision's modules, with the middle planes of the first block of three layers set to those of Caffe2, and its
    epsilon.
    """
    network = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, blocks, R2Plus1dStem, num_classes=classes)
    for layer, (planes_in, planes, middle) in enumerate([(64, 128, 288), (128, 256, 576), (256, 512, 1152)], start=2):
        block = getattr(network, f"layer{layer}")[0]
        assert block.conv1[0][0].in_channels == planes_in
        block.conv2[0] = Conv2Plus1D(planes, planes, middle)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps, module.momentum = 1e-3, 0.9
    return network


def lively(network: nn.Module, clips: torch.Tensor) -> nn.Module:
    """The network with running statistics that it has seen, in evaluation mode."""
    network.train()
    with torch.no_grad():
        network(clips)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "legacy"), [(359, True), (487, True), (400, False)])
def test_ig65m_files(tmp_path: Path, classes: int, legacy: bool):
    """359 and 487 hashtags, 400 classes of Kinetics; files of 2019 are of torch's older format.

    Names and shapes only, which take no memory; `test_the_layout_of_ig65m` compares outputs.
    """
    with torch.device("meta"):
        theirs = published_r2plus1d([3, 4, 6, 3], classes)
    state = zeros_of(theirs)
    assert sum(value.numel() for value in theirs.parameters()) == 63_697_175 + (classes - 400) * 513
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    digest = fingerprint_file(tmp_path / "a.pth")[:8]
    file = (tmp_path / "a.pth").rename(tmp_path / f"r2plus1d_34_clip8_ig65m_from_scratch-{digest}.pth")
    spec = spec_for("r2plus1d_34", classes, 8)
    loaded = initialize_from(spec.meta_model, spec, read_weights(str(file)))
    assert (loaded.replaced, loaded.missing, loaded.ignored) == ([], [], [])
    assert sorted(loaded.loaded) == sorted(state)


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [True, False])
def test_the_layout_of_ig65m(tmp_path: Path, legacy: bool, monkeypatch: pytest.MonkeyPatch):
    """With fewer blocks than the published 34 layers have, which take three times 255 MB."""
    torch.manual_seed(0)
    clips = torch.randn(2, 3, 8, 32, 32)
    monkeypatch.setitem(r2plus1d.BLOCKS, 18, [2, 2, 2, 1])
    theirs = lively(published_r2plus1d([2, 2, 2, 1], 359), clips)
    with torch.no_grad():
        expected = theirs(clips)
    torch.save(theirs.state_dict(), tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    del theirs
    spec = spec_for("r2plus1d_18", 359, 8)
    ours = spec.build()
    loaded = initialize_from(ours, spec, read_weights(str(tmp_path / "a.pth")))
    assert (loaded.replaced, loaded.missing, loaded.ignored) == ([], [], [])
    with torch.no_grad():
        assert torch.equal(ours.eval()(clips), expected)
    assert {module.momentum for module in ours.modules() if isinstance(module, nn.BatchNorm3d)} == {0.1}


SSL = {  # with fewer blocks, as the whole networks take three times 100 MB
    "resnet18": lambda: models.resnet.ResNet(models.resnet.BasicBlock, [1, 2, 1, 1]),
    "resnet50": lambda: models.resnet.ResNet(models.resnet.Bottleneck, [1, 2, 1, 1]),
    "resnext50_32x4d": lambda: models.resnet.ResNet(
        models.resnet.Bottleneck, [1, 2, 1, 1], groups=32, width_per_group=4
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SSL)
def test_ssl_and_swsl_files(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    """torchvision's layout; those of 2019 are older than the counters of batch norm in some exports."""
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    theirs = lively(SSL[name](), images)
    block, _, *groups = resnet.NETWORKS[name]
    monkeypatch.setitem(resnet.NETWORKS, name, (block, [1, 2, 1, 1], *groups))
    state = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "semi_supervised.pth", _use_new_zipfile_serialization=False)
    spec = spec_for(name, 1000, 1)
    ours = spec.build()
    loaded = initialize_from(ours, spec, read_weights(str(tmp_path / "semi_supervised.pth")))
    assert loaded.missing
    assert all(key.endswith("num_batches_tracked") for key in loaded.missing)
    assert (loaded.replaced, loaded.ignored) == ([], [])
    with torch.no_grad():
        assert torch.equal(ours.eval()(images[:, :, None]), theirs(images))


def test_swsl_files_of_a_large_resnext(tmp_path: Path):
    """Names and shapes only."""
    with torch.device("meta"):
        state = zeros_of(models.resnext101_32x8d())
    torch.save(state, tmp_path / "semi_weakly_supervised.pth")
    spec = spec_for("resnext101_32x8d", 1000, 1)
    loaded = initialize_from(spec.meta_model, spec, read_weights(str(tmp_path / "semi_weakly_supervised.pth")))
    assert sorted(loaded.loaded) == sorted(state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "suffix"),
    [
        (lambda state: state, "pth"),
        (lambda state: {"model_state": state}, "pyth"),  # pytorchvideo
        (lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, "pth.tar"),
        (lambda state: {"state_dict": {}, "state_dict_ema": state, "arch": "resnet18"}, "pth.tar"),  # timm
        (lambda state: {"model": {f"module.model.{key}": value for key, value in state.items()}}, "pt"),
        (  # torchvision's references: torch's averaged model beside the other
            lambda state: {
                "model": {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()},
                "model_ema": {"n_averaged": torch.tensor(3)} | {f"module.{key}": value for key, value in state.items()},
            },
            "pth",
        ),
    ],
)
def test_state_dicts_inside_checkpoints(tmp_path: Path, wrap: Callable[[dict], dict], suffix: str):
    torch.manual_seed(0)
    theirs = lively(models.resnet18(num_classes=7), torch.randn(2, 3, 32, 32))
    torch.save(wrap(theirs.state_dict()), tmp_path / f"a.{suffix}")
    for model in ("resnet18", "torchvision/resnet18"):
        spec = spec_for(model, 7, 1)
        ours = spec.build().eval()
        assert initialize_from(ours, spec, read_weights(str(tmp_path / f"a.{suffix}"))).replaced == []
        images = torch.randn(2, 3, 48, 48)
        assert torch.equal(ours(images[:, :, None]), theirs(images))


@pytest.mark.slow
def test_files_of_timm(tmp_path: Path):
    """As plain state dicts and as safetensors; its ResNets have torchvision's names."""
    timm = pytest.importorskip("timm")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    theirs = lively(timm.create_model("resnet18", num_classes=7), torch.randn(2, 3, 32, 32))
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    safetensors.save_file(theirs.state_dict(), tmp_path / "a.safetensors")
    for model in ("resnet18", "timm/resnet18"):
        for file in ("a.pth", "a.safetensors"):
            spec = spec_for(model, 7, 1)
            ours = spec.build().eval()
            initialize_from(ours, spec, read_weights(str(tmp_path / file)))
            images = torch.randn(2, 3, 48, 48)
            torch.testing.assert_close(ours(images[:, :, None]), theirs(images), atol=1e-5, rtol=1e-5)
    (tmp_path / "b.safetensors").write_bytes(b"\xff" * 40)
    with refused("weights.unreadable", "b.safetensors"):
        read_weights(str(tmp_path / "b.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["torchvision/mvit_v2_s", "pytorchvideo/x3d_xs", "torchvision/googlenet"])
def test_files_of_model_libraries(tmp_path: Path, model: str):
    torch.manual_seed(0)
    spec = spec_for(model, 400)
    theirs = {  # a number of its own for each tensor, which takes no memory
        key: torch.tensor(number, dtype=value.dtype).expand(value.shape)
        for number, (key, value) in enumerate(spec.meta_model.state_dict().items())
    }
    state = {key.removeprefix("network."): value for key, value in theirs.items()}
    torch.save({**state, "aux1.fc1.weight": torch.zeros(3)}, tmp_path / "a.pth")
    ours = spec.build()
    loaded = initialize_from(ours, spec, read_weights(str(tmp_path / "a.pth")))
    assert [key.removeprefix("network.") for key in loaded.ignored] == ["aux1.fc1.weight"]
    assert all(torch.equal(value, theirs[key]) for key, value in ours.state_dict().items())


def test_another_number_of_classes_gets_a_fresh_head(tmp_path: Path):
    torch.manual_seed(0)
    theirs = create_model("r2plus1d_10", num_classes=9, frames=4, args={"width": 0.125})
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    spec = spec_for("r2plus1d_10", 5, 4, width=0.125)
    torch.manual_seed(1)
    fresh = spec.build()
    torch.manual_seed(1)
    ours = spec.build()
    loaded = initialize_from(ours, spec, read_weights(str(tmp_path / "a.pth")))
    assert loaded.replaced == ["fc.weight", "fc.bias"]
    assert str(loaded).endswith("tensors loaded; fresh: fc.weight, fc.bias")
    assert torch.equal(ours.fc.weight, fresh.fc.weight)
    assert torch.equal(ours.layer4[0].conv1[0][0].weight, theirs.layer4[0].conv1[0][0].weight)


def test_the_head_of_our_own_file_is_kept_for_the_same_classes_only(weights: Path):
    network, spec = weights_file.load_weights(weights)
    ours = spec.build()
    assert initialize_from(ours, spec, read_weights(str(weights))).replaced == []
    assert torch.equal(ours.fc.weight, network.fc.weight)
    renamed = weights_file.NetworkSpec(spec.model, spec.args, [*spec.classes[1:], "up"], spec.input)
    assert initialize_from(renamed.build(), renamed, read_weights(str(weights))).replaced == ["fc.weight", "fc.bias"]


def test_a_checksum_in_the_name_is_verified(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    digest = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    good = (tmp_path / "a.pth").rename(tmp_path / f"net-{digest[:8]}.pth")
    assert read_weights(str(good)).tensors.keys() == {"a"}
    bad = good.rename(tmp_path / "net-0a1b2c3d.pth")
    with refused("weights.checksum_mismatch", digest[:8], "0a1b2c3d"):
        read_weights(str(bad))
    for name in ("net-20241131.pth", "step-00050000.pth", "net-v2.pth", "net-final.pth", "net_0a1b2c3d.pth"):
        bad = bad.rename(tmp_path / name)  # a date, a step, no checksum
        caplog.clear()
        read_weights(str(bad))
        assert ("if" in caplog.text) == (name[-5].isdecimal() and "-v2" not in name)


def test_addresses_are_fetched_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    asked = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        if "missing" in request.path:
            request.send_error(404)
        else:
            send(request, content)

    with serve(answer) as address:
        assert read_weights(f"{address}/net-{digest[:8]}.pth?download=1").tensors.keys() == {"a"}
        with refused("weights.checksum_mismatch", "net-0000000f.pth", f"delete the copy {tmp_path}"):
            read_weights(f"{address}/net-0000000f.pth")
        with refused("weights.checksum_mismatch", "net-08389792.pth"):  # digits alone are a checksum here
            read_weights(f"{address}/net-08389792.pth")
        with refused("weights.not_fetched", "missing.pth", "HTTP Error 404: Not Found"):
            read_weights(f"{address}/missing.pth")
        with refused("weights.not_fetched", f"{address}/../a.pth"):
            read_weights(f"{address}/../a.pth")
    assert len(asked) == 4


def test_head_keys_of_wrapped_networks():
    assert spec_for("torchvision/resnet18", 5).head_keys == {"network.fc.weight", "network.fc.bias"}
