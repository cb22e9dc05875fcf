"""Networks of model libraries: each takes the input of its pretrained config and returns logits."""

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import models
from torchvision.models import vision_transformer
from torchvision.models.video import resnet, swin_transformer

from tests.helpers.builders import spec_for
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.config import Input, Network, OwnInput
from vidsemi.config.load import load_config
from vidsemi.data.normalize import normalize
from vidsemi.inference.model import Inference
from vidsemi.models.build import check_network, network_spec
from vidsemi.models.pretrained_cfg import IMAGENET, PretrainedConfig
from vidsemi.models.registry import create_model, pretrained_config
from vidsemi.models.zoo import pytorchvideo as zoo_pytorchvideo
from vidsemi.models.zoo import torchvision as zoo_torchvision
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import resolve
from vidsemi.pipeline.stages import TrainStage

CLASSES = [f"class {number}" for number in range(7)]
HUGE = ("regnet", "vit_h", "vit_l")  # minutes of drawing fresh numbers
TORCHVISION = [f"torchvision/{name}" for name in zoo_torchvision.names() if not name.startswith(HUGE)]
PYTORCHVIDEO = [f"pytorchvideo/{name}" for name in zoo_pytorchvideo.names()]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TORCHVISION, "torchvision/regnet_y_400mf", *PYTORCHVIDEO])
def test_every_network_takes_the_input_of_its_pretrained_config(name: str):
    check_network(network_spec(Network(model=name), Input(), CLASSES))


@pytest.mark.slow
def test_networks_of_timm():
    pytest.importorskip("timm")
    for name in ("resnet18.fb_swsl_ig1b_ft_in1k", "vit_tiny_patch16_224", "mobilenetv3_small_100", "convnext_atto"):
        spec = network_spec(Network(model=f"timm/{name}"), Input(), CLASSES)
        check_network(spec)
        assert (spec.input.frames, spec.input.crop) == (1, 224)
    assert pretrained_config("timm/resnet18.fb_swsl_ig1b_ft_in1k").resize == 256  # type: ignore[union-attr]
    with refused("model.unknown", "'timm/resnet18x'", "'timm/resnet18'"):
        create_model("timm/resnet18x", num_classes=7, frames=1)
    with refused("model.unknown", "'timm/hf-hub:someone/else'"):
        create_model("timm/hf-hub:someone/else", num_classes=7, frames=1)


def test_the_input_of_a_network():
    spec = network_spec(Network(model="torchvision/mvit_v2_s"), Input(stride=3), CLASSES).input
    assert (spec.frames, spec.stride, spec.resize, spec.crop, spec.mean) == (16, 4, 256, 224, (0.45, 0.45, 0.45))
    spec = network_spec(Network(model="pytorchvideo/x3d_s", input=OwnInput(stride=2)), Input(), CLASSES).input
    assert (spec.frames, spec.stride, spec.resize, spec.crop, spec.std) == (13, 2, 182, 160, (0.225, 0.225, 0.225))
    spec = network_spec(Network(model="torchvision/r3d_18", frames=8), Input(crop=64), CLASSES).input
    assert (spec.frames, spec.resize, spec.crop) == (8, (128, 171), 112)
    spec = network_spec(Network(model="r2plus1d_18", frames=8, input=OwnInput(crop=96)), Input(), CLASSES).input
    assert (spec.resize, spec.crop) == ((128, 171), 96)


@pytest.mark.parametrize(
    ("network", "problem", "mentions"),
    [
        (Network(model="torchvision/mvit_v2_s", frames=8), "input_mismatch", ["8 frames", "224×224"]),
        (Network(model="torchvision/resnet18", input=OwnInput(crop=300)), "crop_too_large", ["300", "256"]),
        (Network(model="torchvision/resnet18", frames=4), "takes_images", ["4"]),
        (Network(model="torchvision/vit_b_16", input=OwnInput(crop=160)), "input_mismatch", ["160×160"]),
    ],
)
def test_inputs_that_a_network_does_not_take(network: Network, problem: str, mentions: list[str]):
    with refused(f"model.{problem}", network.model, *mentions):
        check_network(network_spec(network, Input(), CLASSES))


def test_an_image_network_has_the_normalization_of_imagenet():
    assert pretrained_config("pytorchvideo/mvit_base_16") == PretrainedConfig(
        1, 1, 256, 224, IMAGENET.mean, IMAGENET.std
    )


def test_a_network_that_gives_more_than_logits_in_training_is_refused():
    network = Network(model="torchvision/googlenet", args={"aux_logits": True})
    with refused("model.output_mismatch", "torchvision/googlenet", "GoogLeNetOutputs"):
        check_network(network_spec(network, Input(), CLASSES))


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "timm", None)
    for command in (["models", "timm"], ["models", "timm/resnet18"], ["flops", "--model", "timm/resnet18"]):
        assert cli.main(command) == 2
        error = capsys.readouterr().err
        assert "[model.timm_not_installed]" in error
        assert "vidsemi[timm]" in error
    assert cli.main(["models"]) == 0
    assert "timm/" not in capsys.readouterr().out
    assert cli.main(["flops", "--model", "mvit_v2_s"]) == 2
    assert "'torchvision/mvit_v2_s'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_input_of_a_network_is_part_of_its_fingerprint(tiny_config: Callable[..., Path], tmp_path: Path):
    """Its own input and its pretrained config, which may change with the library's version."""
    folder = tmp_path / "run"
    student = "{name: a, model: torchvision/r3d_18, frames: 2, input: {resize: 20, crop: %d}}"
    seen = set()
    for crop in (16, 18):
        config = load_config(str(tiny_config()), [f"students=[{student % crop}]", "approaches=[supervised]"])
        (stage,) = (stage for stage in plan_run(resolve(config)).stages if isinstance(stage, TrainStage))
        assert stage.network.input.crop == crop
        seen.add(stage.fingerprint)
    assert len(seen) == 2
    assert not folder.exists()


@pytest.mark.slow
def test_an_image_network_is_torchvisions_own():
    torch.manual_seed(0)
    ours = create_model("torchvision/resnet18", num_classes=7, frames=1).eval()
    theirs = models.resnet18(num_classes=7).eval()
    theirs.load_state_dict({key.removeprefix("network."): value for key, value in ours.state_dict().items()})
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images[:, :, None]), theirs(images))


def test_slowfast_gets_every_fourth_frame_on_its_slow_pathway():
    seen = []
    network = create_model("pytorchvideo/slowfast_r50", num_classes=7, frames=32).eval()
    network.network = torch.nn.Identity()
    clips = torch.arange(32.0).view(1, 1, 32, 1, 1).expand(2, 3, 32, 4, 4)
    seen = network(clips)
    assert seen[0].shape == (2, 3, 8, 4, 4)
    assert seen[0][0, 0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert seen[1] is clips


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x3d_xs", "r2plus1d_r50", "efficient_x3d_xs", "slow_r50"])
def test_networks_of_pytorchvideo_give_logits(name: str):
    """The hub's own heads of some end in a softmax."""
    network = create_model(f"pytorchvideo/{name}", num_classes=7, frames=4 if "x3d" in name else 16).eval()
    assert not any(isinstance(module, torch.nn.Softmax) for module in network.modules())
    assert spec_for(f"pytorchvideo/{name}", 7).head_keys <= network.state_dict().keys()


def with_one_block_a_layer(build: Callable, block: Any, convolutions: Any, blocks: Any, *more: Any, **args: Any) -> Any:
    return build(block, convolutions, [1, 1, 1, 1], *more, **args)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build networks of libraries with fewer layers or planes, and SlowFast for 64×64 pixels.

    As they are they take up to 0.8 GB in the tests below.
    """
    vit, swin = vision_transformer.VisionTransformer, swin_transformer.SwinTransformer3d
    monkeypatch.setattr(vision_transformer, "VisionTransformer", lambda **args: vit(**args | {"num_layers": 2}))
    monkeypatch.setattr(swin_transformer, "SwinTransformer3d", lambda **args: swin(**args | {"embed_dim": 48}))
    monkeypatch.setattr(resnet, "VideoResNet", partial(with_one_block_a_layer, resnet.VideoResNet))
    slowfast = import_module("pytorchvideo.models.hub.slowfast")
    pools = ((8, 2, 2), (32, 2, 2))
    half = partial(slowfast._slowfast, stem_dim_outs=(32, 4), head_pool_kernel_sizes=pools)
    monkeypatch.setattr(slowfast, "_slowfast", half)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "frames", "crop"),
    [
        ("torchvision/mc3_18", 4, 32),
        ("torchvision/swin3d_t", 4, 32),
        ("torchvision/vit_b_16", 1, 224),
        ("torchvision/mobilenet_v3_small", 1, 64),
        ("torchvision/googlenet", 1, 64),
        ("pytorchvideo/x3d_xs", 4, 160),
        ("pytorchvideo/slowfast_r50", 32, 64),
        ("timm/vit_tiny_patch16_224", 1, 224),
    ],
)
def test_scores_are_those_of_the_librarys_network(
    name: str, frames: int, crop: int, precision: str, monkeypatch: pytest.MonkeyPatch
):
    make_small(monkeypatch)
    if name.startswith("timm"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = Network(model=name, frames=frames, input=OwnInput(crop=crop))
    spec = network_spec(network, Input(), CLASSES)
    built = spec.build().eval()
    clips = np.random.default_rng(0).integers(0, 256, (2, spec.input.frames, 3, crop, crop), dtype=np.uint8)
    with torch.no_grad():
        expected = built(normalize(torch.from_numpy(clips), spec.input)).softmax(dim=1)
    found = Inference(built, spec.input, torch.device("cpu"), precision)([clips])  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, atol=1e-5 if precision == "float32" else 0.06, rtol=0)


@pytest.mark.slow
def test_a_run_with_a_library_network_as_student(
    tiny_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its frames are larger than the teacher's, with another shape and other colours."""
    make_small(monkeypatch)
    student = "{model: torchvision/mc3_18, frames: 2, input: {resize: 20, crop: 16}}"
    config = tiny_config(text="approaches: [semi_supervised]\n")
    overrides = [f"students=[{student}]", "train.pretrain.examples=8", "train.finetune.examples=8"]
    assert cli.main(["run", "--cfg", str(config), *overrides]) == 0
    rows = json.loads((tmp_path / "run/results.json").read_text())
    assert [row["student"] for row in rows] == ["teacher", "mc3_18_2f"]
    assert rows[1]["model"] == "torchvision/mc3_18"
    assert rows[1]["gmacs_by_group"].keys() == {"stem", "layer1", "layer2", "layer3", "layer4", "fc"}
    assert rows[1]["gmacs_per_video"] == pytest.approx(2 * rows[1]["gmacs_per_view"])
    weights = torch.load(tmp_path / "run" / rows[1]["weights"], weights_only=True)
    assert weights["spec"]["input"]["mean"] == (0.43216, 0.394666, 0.37645)
    assert weights["spec"]["input"]["resize"] == 20


def test_the_listing(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["models", "--json"]) == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["models"]]
    assert names[0] == "r2plus1d_10"
    assert {"resnext101_32x48d", "torchvision/mvit_v2_s", "pytorchvideo/x3d_m"} <= set(names)
    assert len(names) == len(set(names))
    assert cli.main(["models", "torchvision/r2plus1d"]) == 0
    text = capsys.readouterr().out
    assert "| torchvision/r2plus1d_18 | 16     | 2      | (128, 171) | 112  |" in text
    assert "published weights: https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth" in text
    assert cli.main(["models", "no such network"]) == 2
    assert cli.main(["models", "timm/resnet18", "--json"]) == 0  # a whole name stands for itself alone
    (entry,) = json.loads(capsys.readouterr().out)["models"]
    assert entry["weights"]
