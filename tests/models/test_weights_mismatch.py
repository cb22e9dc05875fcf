"""Files that are no weights, or those of another network: a line that says so, and nothing is loaded or executed."""

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from tests.helpers.videos import spec_for
from vidsemi.cli import main as cli
from vidsemi.config import Input, Network, OwnInput
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.models.build import adopt, begin_with, ready_spec
from vidsemi.models.initialize import identify, initialize
from vidsemi.models.registry import create_model, head_keys, outline, wanted_input
from vidsemi.models.weights import read_weights


def test_a_network_that_does_not_fit_stays_as_it_was_and_the_file_is_named(tmp_path: Path):
    torch.manual_seed(0)
    torch.save(models.video.r2plus1d_18().state_dict(), tmp_path / "a.pth")
    spec = spec_for("r2plus1d_18", 400, 8)
    ours = spec.build()
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(UserError) as error:
        begin_with(ours, spec, read_weights(str(tmp_path / "a.pth")))
    words = str(error.value)
    assert "does not fit r2plus1d_18: 18 have another shape, the first is layer2.0.conv2.0.0.weight" in words
    assert "with (230, 128, 1, 3, 3), wanted (288, 128, 1, 3, 3); it holds torchvision/r2plus1d_18" in words
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


def test_what_a_file_holds_is_recognised():
    assert identify(models.resnext101_32x8d(num_classes=3).state_dict()) == "resnext101_32x8d"
    assert identify(models.video.mc3_18(num_classes=3).state_dict()) == "torchvision/mc3_18"
    assert identify({"a": torch.zeros(1)}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "loss": 0.1}, "holds no state dict (its keys are epoch, loss)"),
        ([1, 2], "holds no state dict (no dict)"),
        ({"fc.weight": torch.zeros(5, 64)}, "105 of its 128 tensors are not in the file, the first is stem.0.weight"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, content: Any, words: str):
    torch.save(content, tmp_path / "a.pth")
    spec = spec_for("r2plus1d_10", 5, 4, width=0.125)
    with pytest.raises(UserError) as error:
        begin_with(spec.build(), spec, read_weights(str(tmp_path / "a.pth")))
    assert words in str(error.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path):
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    tensors["layer1.0.conv1.1.running_var"][0] = float("nan")
    with pytest.raises(UserError, match=r"a: the tensor layer1.0.conv1.1.running_var has values that are not finite"):
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
    with pytest.raises(UserError, match=r"weights\.pkl") as error:
        read_weights(str(file))
    assert "\n" not in str(error.value)
    assert not trap.exists()
    if form == "torch":
        assert "it needs " in str(error.value)
        assert "that would execute what is in it" in str(error.value)


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [("r2plus1d_34", "r2plus1d_18"), ("r2plus1d_152", "r2plus1d_50"), ("resnext101_32x4d", "resnext50_32x4d")],
)
def test_a_deeper_network_is_not_taken_for_a_shallower_one(larger: str, smaller: str):
    """All that the shallower one has fits by name and shape."""
    frames = 8 if larger.startswith("r2") else 1
    tensors = outline(larger, num_classes=5, frames=frames).state_dict()
    network = outline(smaller, num_classes=5, frames=frames)
    with pytest.raises(UserError, match=rf"does not fit {smaller}: .* are of layers that it lacks.*it holds {larger}"):
        initialize(network, tensors, head=set(), keep_head=True, file="a.pth", model=smaller)


def test_deeper_networks_of_zoos_are_no_shallower_ones():
    deeper = outline("torchvision/resnet101", num_classes=5, frames=1).state_dict()
    network = outline("torchvision/resnet50", num_classes=5, frames=1)
    with pytest.raises(UserError, match=r"that it lacks, the first is network\.layer3\.6"):
        initialize(network, deeper, head=set(), keep_head=True, file="a", model="torchvision/resnet50")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensor: tensor.to_sparse(), "is sparse, quantized or empty"),
        (lambda tensor: tensor.to("meta"), "is sparse, quantized or empty"),
        (lambda tensor: tensor.to(torch.int8), "is torch.int8, wanted torch.float32"),
    ],
)
def test_tensors_of_other_kinds(change: Any, words: str):
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = dict(network.state_dict())
    tensors["stem.0.weight"] = change(tensors["stem.0.weight"])
    with pytest.raises(UserError, match=f"the tensor stem.0.weight {words}"):
        initialize(network, tensors, head=set(), keep_head=True, file="a", model="r2plus1d_10")


def test_half_a_head_is_none():
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value for key, value in network.state_dict().items() if key != "fc.bias"}
    head = {"fc.weight", "fc.bias"}
    loaded = initialize(network, tensors, head=head, keep_head=True, file="a", model="r2plus1d_10")
    assert loaded.replaced == ["fc.weight", "fc.bias"]


def test_a_file_of_ours_says_what_it_holds(weights: Path):
    spec = spec_for("r2plus1d_10", 8, 4, width=0.125)
    with pytest.raises(
        UserError, match=r"does not fit r2plus1d_10 width=0\.125: .* it holds r2plus1d_10 width=0\.0625"
    ):
        begin_with(spec.build(), spec, read_weights(str(weights)))


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
    ("content", "words"),
    [
        (b"", "a.pth is empty"),
        (b"abseiling\nair drumming\n", "a.pth"),
        (b"path,label\na.mp4,x\n", "a.pth"),
        (b"\x00" * 100, "a.pth"),
        (truncated, "a.pth cannot be loaded as weights: "),
        (program, "it is a program, as TorchScript saves it, and is not loaded"),
    ],
)
def test_files_that_are_something_else_are_a_line(tmp_path: Path, content: Any, words: str, capfd: Any):
    (tmp_path / "a.pth").write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(UserError) as error:
        read_weights(str(tmp_path / "a.pth"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)
    assert cli.main(["predict", "--weights", str(tmp_path / "a.pth"), str(tmp_path)]) == 2
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("spoilt", [{"model": 3}, {"classes": None}, {"classes": [1, 2]}, {"args": 3}, {"input": {}}])
def test_files_of_ours_that_somebody_changed(weights: Path, spoilt: dict):
    content = torch.load(weights, weights_only=True)
    content["spec"] |= spoilt
    torch.save(content, weights)
    with pytest.raises(UserError, match="does not say what its weights are of"):
        weights_file.load_weights(weights)


def test_what_is_taken_as_it_is_has_to_be_so(weights: Path, tmp_path: Path):
    _, spec = weights_file.load_weights(weights)
    swapped = [spec.classes[1], spec.classes[0], *spec.classes[2:]]
    for other, words in [
        (replace(spec, classes=swapped), "has other classes: number 0 is 'drifting east', wanted 'drifting north'"),
        (replace(spec, classes=[*spec.classes, "up"]), "number 8 is 'nothing', wanted 'up'"),
        (replace(spec, args={"width": 0.125}), r"holds r2plus1d_10 width=0\.0625, wanted r2plus1d_10 width=0\.125"),
        (replace(spec, input=replace(spec.input, frames=8)), "takes 4 frames, wanted 8"),
    ]:
        with pytest.raises(UserError, match=words):
            adopt(tmp_path / "adopted.pt", other, str(weights))
        assert not (tmp_path / "adopted.pt").exists()


def test_ready_weights_of_ours_are_fed_as_they_were_trained(weights: Path):
    """But for what the network's own `input` says."""
    _, spec = weights_file.load_weights(weights)
    network = Network(model=spec.model, frames=4, args=dict(spec.args), init_from=str(weights))
    assert ready_spec(network, Input(decoder="decord"), spec.classes) == replace(
        spec, input=replace(spec.input, decoder="decord")
    )
    network = network.model_copy(update={"input": OwnInput(stride=3)})
    assert ready_spec(network, Input(), spec.classes).input == replace(spec.input, stride=3)


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
def test_what_a_file_may_hold_beside_the_network(model: str, extra: str):
    """Other heads, heads of other tasks, counters, and what follows from shapes."""
    frames = (wanted.frames if (wanted := wanted_input(model)) else None) or 1
    network = outline(model, num_classes=5, frames=frames)
    tensors = {key.removeprefix("network."): value for key, value in network.state_dict().items()}
    tensors = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in tensors.items()}
    head = head_keys(model, frames=frames)
    tensors |= {extra: torch.zeros(3)}
    loaded = initialize(network, tensors, head=head, keep_head=False, file="a", model=model)
    assert [key.removeprefix("network.") for key in loaded.ignored] == [extra]
    assert set(loaded.replaced) == head


def test_layers_in_a_block_are_not_left_out():
    network = create_model("resnet18", num_classes=5, frames=1)
    tensors = network.state_dict() | {"layer1.0.se.fc1.weight": torch.zeros(3)}
    with pytest.raises(
        UserError, match=r"1 tensors of the file are of layers that it lacks, the first is layer1\.0\.se"
    ):
        initialize(network, tensors, head={"fc.weight", "fc.bias"}, keep_head=True, file="a", model="resnet18")


def test_names_that_only_look_like_a_prefix_are_kept():
    """timm's VOLO has most of its layers in a module called `network`."""
    pytest.importorskip("timm")
    network = outline("timm/volo_d1_224", num_classes=5, frames=1)
    tensors = {
        key.removeprefix("network."): torch.zeros(value.shape, dtype=value.dtype)
        for key, value in network.state_dict().items()
    }
    loaded = initialize(network, tensors, head=set(), keep_head=True, file="a", model="volo")
    assert len(loaded.loaded) == len(tensors)
    both = {f"module.{key}": value for key, value in tensors.items()} | {"pos_embed": torch.ones(1)}
    with pytest.raises(UserError, match="not in the file"):  # two names that would become one
        initialize(network, both, head=set(), keep_head=True, file="a", model="volo")


def test_counters_may_be_of_any_kind():
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.125})
    tensors = {key: value.half() for key, value in network.state_dict().items()}
    loaded = initialize(network, tensors, head=set(), keep_head=True, file="a", model="r2plus1d_10")
    assert len(loaded.loaded) == len(tensors)


def test_averaged_weights_of_an_image_network_are_ready(tmp_path: Path):
    spec = spec_for("torchvision/resnet18", 5)
    averaged = {f"module.{key.removeprefix('network.')}": value for key, value in spec.build().state_dict().items()}
    torch.save({"model_ema": averaged | {"n_averaged": torch.tensor(3)}}, tmp_path / "a.pth")
    assert adopt(tmp_path / "adopted.pt", spec, str(tmp_path / "a.pth"))["ignored"] == []


def test_what_is_taken_as_it_is_holds_nothing_else(tmp_path: Path):
    spec = spec_for("torchvision/googlenet", 5)
    state = {key.removeprefix("network."): value for key, value in spec.build().state_dict().items()}
    torch.save({**state, "aux1.fc1.weight": torch.zeros(3)}, tmp_path / "a.pth")
    assert adopt(tmp_path / "adopted.pt", spec, str(tmp_path / "a.pth"))["ignored"] == ["network.aux1.fc1.weight"]
    torch.save({**state, "attention.weight": torch.zeros(3)}, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"b\.pth holds more than torchvision/googlenet: network\.attention"):
        adopt(tmp_path / "adopted.pt", spec, str(tmp_path / "b.pth"))
