"""Files that are not weights, or those of another network: one error, and nothing is loaded or executed."""

import io
import pickle
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from tests.helpers.builders import spec_for, zeros_of
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.config import Input, Network, OwnInput
from vidsemi.models import weights_file
from vidsemi.models.build import frozen_spec, import_weights, initialize_from
from vidsemi.models.initialize import identify, initialize
from vidsemi.models.registry import create_model, meta_model, pretrained_config
from vidsemi.models.weights import read_weights


@pytest.mark.slow
def test_a_network_that_does_not_fit_stays_as_it_was_and_the_file_is_named(tmp_path: Path):
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = zeros_of(models.video.r2plus1d_18())
    torch.save(theirs, tmp_path / "a.pth")
    spec = spec_for("r2plus1d_18", 400, 8)
    ours = spec.build()
    before = {key: sha256(value.numpy()).digest() for key, value in ours.state_dict().items()}
    key, shapes = "layer2.0.conv2.0.0.weight", ("(230, 128, 1, 3, 3)", "(288, 128, 1, 3, 3)")
    with refused("weights.network_mismatch", "a.pth", " r2plus1d_18", "18", key, *shapes, "torchvision/r2plus1d_18"):
        initialize_from(ours, spec, read_weights(str(tmp_path / "a.pth")))
    assert {key: sha256(value.numpy()).digest() for key, value in ours.state_dict().items()} == before


@pytest.mark.slow
def test_the_network_of_a_file_is_recognized():
    with torch.device("meta"):
        assert identify(models.resnext101_32x8d(num_classes=3).state_dict()) == "resnext101_32x8d"
        assert identify(models.video.mc3_18(num_classes=3).state_dict()) == "torchvision/mc3_18"
    assert identify({"a": torch.zeros(1)}) is None


@pytest.mark.parametrize(
    ("content", "code", "mentions"),
    [
        ({"epoch": 3, "loss": 0.1}, "weights.no_state_dict", "epoch, loss"),
        ([1, 2], "weights.no_state_dict", "list"),
        ({"fc.weight": torch.zeros(5, 64)}, "weights.network_mismatch", "stem.0.weight"),
    ],
)
@pytest.mark.slow
def test_files_that_hold_something_else(tmp_path: Path, content: Any, code: str, mentions: str):
    torch.save(content, tmp_path / "a.pth")
    spec = spec_for("r2plus1d_10", 5, 4, width=0.125)
    with refused(code, "a.pth", mentions):
        initialize_from(spec.meta_model, spec, read_weights(str(tmp_path / "a.pth")))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path):
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    tensors["layer1.0.conv1.1.running_var"][0] = float("nan")
    with refused("weights.not_finite", "a: ", "layer1.0.conv1.1.running_var"):
        initialize(network, tensors, head=set(), keep_head=True, file="a", model="r2plus1d_10")


class Trap:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("form", ["pickle", "torch", "legacy torch", "numpy, as in Caffe2", "zip"])
def test_no_pickle_is_ever_executed(tmp_path: Path, form: str):
    file, trap = tmp_path / "weights.pkl", tmp_path / "sprung"
    content: Any = {"blobs": {"conv1_w": np.zeros(3)}} if "numpy" in form else {"a": torch.zeros(1), "b": Trap(trap)}
    if form.startswith(("pickle", "numpy")):
        file.write_bytes(pickle.dumps(content))
    elif form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    names = ["open"] if form == "torch" else []
    with refused("weights.unreadable" if form == "zip" else "weights.unsafe", "weights.pkl", *names):
        read_weights(str(file))
    assert not trap.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("larger", "smaller"),
    [("r2plus1d_34", "r2plus1d_18"), ("r2plus1d_152", "r2plus1d_50"), ("resnext101_32x4d", "resnext50_32x4d")],
)
def test_a_deeper_network_is_not_taken_for_a_shallower_one(larger: str, smaller: str):
    """All that the shallower one has fits by name and shape."""
    frames = 8 if larger.startswith("r2") else 1
    tensors = meta_model(larger, num_classes=5, frames=frames).state_dict()
    network = meta_model(smaller, num_classes=5, frames=frames)
    with refused("weights.network_mismatch", "a.pth", smaller, larger, "layers that it lacks"):
        initialize(network, tensors, head=set(), keep_head=True, file="a.pth", model=smaller)


@pytest.mark.slow
def test_deeper_networks_of_libraries_are_not_taken_for_shallower_ones():
    deeper = meta_model("torchvision/resnet101", num_classes=5, frames=1).state_dict()
    network = meta_model("torchvision/resnet50", num_classes=5, frames=1)
    with refused("weights.network_mismatch", "layers that it lacks", "network.layer3.6"):
        initialize(network, deeper, head=set(), keep_head=True, file="a", model="torchvision/resnet50")


@pytest.mark.parametrize(
    "change", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta"), lambda tensor: tensor.to(torch.int8)]
)
def test_tensors_of_other_kinds(change: Any):
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = dict(network.state_dict())
    tensors["stem.0.weight"] = change(tensors["stem.0.weight"])
    with refused("weights.invalid_tensor", "stem.0.weight"):
        initialize(network, tensors, head=set(), keep_head=True, file="a", model="r2plus1d_10")


def test_half_a_head_is_not_loaded():
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value for key, value in network.state_dict().items() if key != "fc.bias"}
    head = {"fc.weight", "fc.bias"}
    loaded = initialize(network, tensors, head=head, keep_head=True, file="a", model="r2plus1d_10")
    assert loaded.replaced == ["fc.weight", "fc.bias"]


def test_a_weights_file_of_vidsemi_names_its_network(weights: Path):
    spec = spec_for("r2plus1d_10", 8, 4, width=0.125)
    with refused("weights.network_mismatch", "r2plus1d_10 width=0.125", "r2plus1d_10 width=0.0625"):
        initialize_from(spec.meta_model, spec, read_weights(str(weights)))


def truncated() -> bytes:
    """Torch's older format, which the files of 2019 have, cut off."""
    content = io.BytesIO()
    torch.save({"a": torch.zeros(50)}, content, _use_new_zipfile_serialization=False)
    return content.getvalue()[:-90]


def program() -> bytes:
    """TorchScript."""
    content = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), content)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "weights.empty"),
        (b"abseiling\nair drumming\n", "weights.unreadable"),
        (b"path,label\na.mp4,x\n", "weights.unsafe"),
        (b"\x00" * 100, "weights.unsafe"),
        (truncated, "weights.unreadable"),
        (program, "weights.unreadable"),
    ],
)
def test_files_that_are_not_weights(tmp_path: Path, content: Any, code: str, capfd: Any):
    (tmp_path / "a.pth").write_bytes(content if isinstance(content, bytes) else content())
    with refused(code, "a.pth", "TorchScript" if content is program else ""):
        read_weights(str(tmp_path / "a.pth"))
    assert cli.main(["predict", "--weights", str(tmp_path / "a.pth"), str(tmp_path)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "weights_only" not in error


@pytest.mark.parametrize("spoilt", [{"model": 3}, {"classes": None}, {"classes": [1, 2]}, {"args": 3}, {"input": {}}])
def test_weights_files_with_an_invalid_spec(weights: Path, spoilt: dict):
    content = torch.load(weights, weights_only=True)
    content["spec"] |= spoilt
    torch.save(content, weights)
    with refused("weights.invalid_spec", weights):
        weights_file.load_weights(weights)


def test_imported_weights_have_to_fit_exactly(weights: Path, tmp_path: Path):
    _, spec = weights_file.load_weights(weights)
    for other, problem, mentions in [
        (
            replace(spec, classes=["drifting", *spec.classes[1:]]),
            "class_mismatch",
            ["class 0", "'drifting east'", "'drifting'"],
        ),
        (
            replace(spec, classes=[*spec.classes, "up"]),
            "class_mismatch",
            ["class 8", "'up'", "knows 8", "lacks 1 of the 9"],
        ),
        (replace(spec, args={"width": 0.125}), "network_mismatch", ["width=0.0625", "width=0.125"]),
        (replace(spec, input=replace(spec.input, frames=8)), "frames_mismatch", ["4 frames", "8"]),
    ]:
        with refused(f"weights.{problem}", weights, *mentions):
            import_weights(tmp_path / "imported.pt", other, str(weights))
        assert not (tmp_path / "imported.pt").exists()


def test_frozen_weights_keep_the_input_they_were_trained_on(weights: Path):
    """Except for the keys of the network's own `input`."""
    _, spec = weights_file.load_weights(weights)
    network = Network(model=spec.model, frames=4, args=dict(spec.args), init_from=str(weights))
    assert frozen_spec(network, Input(decoder="decord"), spec.classes) == replace(
        spec, input=replace(spec.input, decoder="decord")
    )
    network = network.model_copy(update={"input": OwnInput(stride=3)})
    assert frozen_spec(network, Input(), spec.classes).input == replace(spec.input, stride=3)


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("torchvision/efficientnet_b0", "classifier.1.1.weight"),
        ("torchvision/mobilenet_v3_small", "classifier.5.weight"),
        ("torchvision/alexnet", "classifier.8.weight"),
        ("torchvision/mvit_v2_s", "head.1.1.weight"),
        ("pytorchvideo/x3d_xs", "blocks.5.proj.1.weight"),
        ("resnet18", "fc.1.weight"),
        ("resnet18", "projector.0.weight"),
        ("resnet18", "layer1.0.total_ops"),
        ("torchvision/swin_t", "features.1.0.attn.attn_mask"),
    ],
)
@pytest.mark.slow
def test_tensors_that_are_ignored(model: str, extra: str):
    """Other heads, heads of other tasks, counters, and tensors that are not trained."""
    frames = (wanted.frames if (wanted := pretrained_config(model)) else None) or 1
    network = meta_model(model, num_classes=5, frames=frames)
    tensors = {key.removeprefix("network."): value for key, value in zeros_of(network).items()}
    head = spec_for(model, 5, frames).head_keys
    tensors |= {extra: torch.zeros(3)}
    loaded = initialize(network, tensors, head=head, keep_head=False, file="a", model=model)
    assert [key.removeprefix("network.") for key in loaded.ignored] == [extra]
    assert set(loaded.replaced) == head


@pytest.mark.slow
def test_layers_in_a_block_are_not_ignored():
    network = meta_model("resnet18", num_classes=5, frames=1)
    tensors = network.state_dict() | {"layer1.0.se.fc1.weight": torch.zeros(3)}
    with refused("weights.network_mismatch", "layers that it lacks", "layer1.0.se.fc1.weight"):
        initialize(network, tensors, head={"fc.weight", "fc.bias"}, keep_head=True, file="a", model="resnet18")


@pytest.mark.slow
def test_names_that_only_look_like_a_prefix_are_kept():
    """timm's VOLO has most of its layers in a module called `network`."""
    pytest.importorskip("timm")
    network = meta_model("timm/volo_d1_224", num_classes=5, frames=1)
    tensors = {key.removeprefix("network."): value for key, value in zeros_of(network).items()}
    loaded = initialize(network, tensors, head=set(), keep_head=True, file="a", model="volo")
    assert len(loaded.loaded) == len(tensors)
    both = {f"module.{key}": value for key, value in tensors.items()} | {"pos_embed": torch.ones(1)}
    with refused("weights.network_mismatch", "not in the file"):  # two names that would become one
        initialize(network, both, head=set(), keep_head=True, file="a", model="volo")


def test_counters_may_be_of_any_kind():
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value.half() for key, value in network.state_dict().items()}
    loaded = initialize(network, tensors, head=set(), keep_head=True, file="a", model="r2plus1d_10")
    assert len(loaded.loaded) == len(tensors)


def test_averaged_weights_of_an_image_network_are_imported(tmp_path: Path):
    spec = spec_for("torchvision/resnet18", 5)
    averaged = {f"module.{key.removeprefix('network.')}": value for key, value in spec.build().state_dict().items()}
    torch.save({"model_ema": averaged | {"n_averaged": torch.tensor(3)}}, tmp_path / "a.pth")
    assert import_weights(tmp_path / "imported.pt", spec, str(tmp_path / "a.pth"))["ignored"] == []


@pytest.mark.slow
def test_imported_weights_have_no_other_tensors(tmp_path: Path):
    spec = spec_for("torchvision/googlenet", 5)
    state = {key.removeprefix("network."): value for key, value in spec.build().state_dict().items()}
    torch.save({**state, "aux1.fc1.weight": torch.zeros(3)}, tmp_path / "a.pth")
    assert import_weights(tmp_path / "imported.pt", spec, str(tmp_path / "a.pth"))["ignored"] == [
        "network.aux1.fc1.weight"
    ]
    torch.save({**state, "attention.weight": torch.zeros(3)}, tmp_path / "b.pth")
    with refused("weights.extra_tensors", "b.pth", "torchvision/googlenet", "network.attention.weight"):
        import_weights(tmp_path / "imported.pt", spec, str(tmp_path / "b.pth"))
