"""Checkpoints of SlowFast and mmaction2, against what their own networks compute, and of pytorchvideo."""

import hashlib
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.builders import spec_for
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.models import registry
from vidsemi.models.build import initialize_all, initialize_from
from vidsemi.models.layouts.find import find_layout
from vidsemi.models.registry import create_model
from vidsemi.models.weights import Weights, read_weights
from vidsemi.models.weights_file import load_weights
from vidsemi.pipeline.resolve import resolve

Shapes = dict[str, tuple[int, ...]]

# Names of the networks here → those of the frameworks, stated again in the other direction.
BLOCKS = [(r"branch1_conv", "branch1"), (r"branch1_norm", "branch1_bn")]
BLOCKS += [(r"branch2\.norm_b\.1\.block\.0", "branch2.se.fc1"), (r"branch2\.norm_b\.1\.block\.2", "branch2.se.fc2")]
BLOCKS += [(r"branch2\.conv_", "branch2."), (r"branch2\.norm_(\w)(\.0)?\.", r"branch2.\1_bn.")]
SLOWFAST = [
    (r"^network\.blocks\.0\.multipathway_blocks\.(\d)\.conv", r"s1.pathway\1_stem.conv"),
    (r"^network\.blocks\.0\.multipathway_blocks\.(\d)\.norm", r"s1.pathway\1_stem.bn"),
    (r"^network\.blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow", lambda m: f"s{int(m[1]) + 1}_fuse.conv_f2s"),
    (r"^network\.blocks\.(\d)\.multipathway_fusion\.norm", lambda m: f"s{int(m[1]) + 1}_fuse.bn"),
    (
        r"^network\.blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)",
        lambda m: f"s{int(m[1]) + 1}.pathway{m[2]}_res{m[3]}",
    ),
    (r"^network\.blocks\.6\.proj", "head.projection"),
    *BLOCKS,
]
X3D = [
    (r"^blocks\.0\.conv\.conv_t", "s1.pathway0_stem.conv_xy"),
    (r"^blocks\.0\.conv\.conv_xy", "s1.pathway0_stem.conv"),
    (r"^blocks\.0\.norm", "s1.pathway0_stem.bn"),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)", lambda m: f"s{int(m[1]) + 1}.pathway0_res{m[2]}"),
    (r"^blocks\.5\.pool\.pre_conv", "head.conv_5"),
    (r"^blocks\.5\.pool\.pre_norm", "head.conv_5_bn"),
    (r"^blocks\.5\.pool\.post_conv", "head.lin_5"),
    (r"^blocks\.5\.proj", "head.projection"),
    *BLOCKS,
]
MMACTION2_X3D = [
    (r"^s1\.pathway0_stem\.conv_xy", "backbone.conv1_s.conv"),
    (r"^s1\.pathway0_stem\.", "backbone.conv1_t."),
    (r"^s(\d)\.pathway0_res(\d+)", lambda m: f"backbone.layer{int(m[1]) - 1}.{m[2]}"),
    (r"branch1_bn", "downsample.bn"),
    (r"branch1\.", "downsample.conv."),
    (r"branch2\.se", "se_module"),
    (r"branch2\.([abc])_bn", lambda m: f"conv{'abc'.index(m[1]) + 1}.bn"),
    (r"branch2\.([abc])\.", lambda m: f"conv{'abc'.index(m[1]) + 1}.conv."),
    (r"^head\.conv_5_bn", "backbone.conv5.bn"),
    (r"^head\.conv_5", "backbone.conv5.conv"),
    (r"^head\.lin_5", "cls_head.fc1"),
    (r"^head\.projection", "cls_head.fc2"),
]
MVIT = [
    (r"^conv_proj", "patch_embed.proj"),
    (r"^pos_encoding\.class_token", "cls_token"),
    (r"^pos_encoding\.(\w+)_pos", r"pos_embed_\1"),
    (r"attn\.project\.0", "attn.proj"),
    (r"attn\.pool_(\w)\.pool", r"attn.pool_\1"),
    (r"attn\.pool_(\w)\.norm_act\.0", r"attn.norm_\1"),
    (r"mlp\.0", "mlp.fc1"),
    (r"mlp\.3", "mlp.fc2"),
    (r"\.project\.", ".proj."),
    (r"^head\.1", "head.projection"),
]
MMACTION2_MVIT = [
    (r"^patch_embed\.proj", "backbone.patch_embed.projection"),
    (r"^(cls_token|blocks)", r"backbone.\1"),
    (r"^norm\.", "backbone.norm3."),
    (r"^head\.projection", "cls_head.fc_cls"),
]


PYTORCHVIDEO_MVIT = [
    (r"^patch_embed\.patch_model", "patch_embed.proj"),
    (r"^cls_positional_encoding\.", ""),
    (r"attn\.[qkv]\.", "attn.qkv."),
    (r"^norm_embed", "norm"),
    (r"^head\.proj\.", "head.projection."),
]


def renamed(name: str, rules: list[Any]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def shapes_of(model: str, *maps: list[Any]) -> Shapes:
    """Names and shapes of a file of a framework, from those of a network here with five classes."""
    state = spec_for(model, 5).meta_model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if "x3d" in model:  # pytorchvideo lacks the first shortcut's batch norm
        norm = {name: shape for name, shape in shapes.items() if name.startswith("blocks.2.res_blocks.0.branch1_norm.")}
        shapes |= {name.replace("blocks.2", "blocks.1"): shape and (24,) for name, shape in norm.items()}
    for rules in maps:
        shapes = {renamed(name, rules): shape for name, shape in shapes.items()}
    for name, shape in shapes.items():
        if "cls_token" in name or name.startswith("pos_embed_"):
            shapes[name] = (1,) * (3 - len(shape)) + shape
        if name == "cls_head.fc1.weight":
            shapes[name] = shape[:2]
    return shapes


def seeded(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Weights that depend on nothing but the names and shapes."""
    rng, tensors = np.random.default_rng(0), {}
    for name in sorted(shapes):
        shape = shapes[name]
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(0)
            continue
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            values = rng.uniform(0.5, 1, shape)
        elif len(shape) == 1:
            values = 0.1 * rng.standard_normal(shape)
        else:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        tensors[name] = torch.tensor(values, dtype=torch.float32)
    return tensors


def clips(frames: int, size: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(1).standard_normal((1, 3, frames, size, size)), dtype=torch.float32)


def digest(shapes: Shapes) -> str:
    listed = json.dumps(sorted((name, list(shape)) for name, shape in shapes.items()))
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def loaded(model: str, tensors: dict[str, torch.Tensor], content: Any = None) -> nn.Module:
    spec = spec_for(model, 5)
    network = spec.build()
    report = initialize_all(network, spec, Weights("a.pyth", tensors, layout=find_layout(tensors, content)))
    assert len(report.loaded) == len(network.state_dict()) and not report.ignored
    return network.eval()


# The tensors that SlowFast's own `SlowFast`, `X3D` and `MViT` (commit 287ec00) have with five classes and the configs
# SLOWFAST_8x8_R50, X3D_S, MVIT_B_16x4_CONV and MVITv2_S_16x4 of Kinetics, and mmaction2 1.2.0's `X3D` and `MViT` with
# their heads; and what they compute with `seeded` weights from `clips`, in evaluation mode and without the softmax.
NAMES = {
    "SlowFast slowfast": "903342030cf5b30b",
    "SlowFast x3d": "a473698dd8ae9305",
    "SlowFast mvit_v1": "e9fe2f9b82d07be5",
    "SlowFast mvit_v2": "f807e343e8525c5c",
    "mmaction2 x3d": "14d303e12f8514f4",
    "mmaction2 mvit_v2": "59706f789f663cb5",
}
LOGITS = {
    "SlowFast x3d": [-0.00137, -0.34842, -0.01979, 0.18902, -0.34316],
    "mmaction2 x3d": [-0.17238, -0.42174, 0.14801, -0.11483, -0.35045],
}
MAPS = {
    "SlowFast slowfast": ("pytorchvideo/slowfast_r50", [SLOWFAST]),
    "SlowFast x3d": ("pytorchvideo/x3d_s", [X3D]),
    "SlowFast mvit_v1": ("torchvision/mvit_v1_b", [MVIT]),
    "SlowFast mvit_v2": ("torchvision/mvit_v2_s", [MVIT]),
    "mmaction2 x3d": ("pytorchvideo/x3d_s", [X3D, MMACTION2_X3D]),
    "mmaction2 mvit_v2": ("torchvision/mvit_v2_s", [MVIT, MMACTION2_MVIT]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOGITS)
def test_outputs_are_those_of_the_framework(name: str):
    model, maps = MAPS[name]
    shapes = shapes_of(model, *maps)
    assert digest(shapes) == NAMES[name]
    network, takes = loaded(model, seeded(shapes)), spec_for(model, 5).input
    with torch.no_grad():
        logits = network(clips(takes.frames, min(takes.crop, 224)))
    torch.testing.assert_close(logits, torch.tensor([LOGITS[name]]), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "extra"),
    [
        ("SlowFast slowfast", "pytorchvideo/slowfast_r50", []),
        ("SlowFast mvit_v1", "torchvision/mvit_v1_b", []),
        ("SlowFast mvit_v1", "pytorchvideo/mvit_base_16x4", PYTORCHVIDEO_MVIT),
        ("SlowFast mvit_v2", "torchvision/mvit_v2_s", []),
        ("mmaction2 mvit_v2", "torchvision/mvit_v2_s", []),
    ],
)
def test_every_tensor_comes_to_its_place(name: str, model: str, extra: list[Any]):
    """All values, without a pass through these large networks, which takes too much memory here.

    Outputs were compared once, with `seeded` weights. SlowFast's own networks and these had the same four digits of
    [-0.15859, -0.13158, 0.57468, -0.04229, -0.26806] (SlowFast), [-0.22384, -0.77015, -0.38727, 0.2416, 1.24772] (both
    MViTv1) and [-1.4996, -1.65066, -1.51413, -0.83362, 0.61202] (MViTv2), mmaction2's and this one those of [-1.01556,
    1.00761, -0.50356, -0.86113, -0.4404].
    """
    own, maps = MAPS[name]
    shapes = shapes_of(own, *maps)
    assert digest(shapes) == NAMES[name]
    values = {place: float(number) for number, place in enumerate(sorted(shapes))}
    tensors = {place: torch.tensor(values[place]).expand(shape) for place, shape in shapes.items()}
    spec = spec_for(model, 5)
    network = spec.meta_model
    layout = find_layout(tensors, None)
    assert layout is not None
    found = layout.tensors_for(model, spec.input.frames, tensors, "a.pyth")
    found = {f"network.{place}" if "slowfast" in model else place: tensor for place, tensor in found.items()}
    assert {place: tensor.shape for place, tensor in found.items()} == {
        place: tensor.shape for place, tensor in network.state_dict().items()
    }
    for place, tensor in found.items():
        theirs = renamed(renamed(place, extra) if extra else place, [] if extra else maps[0])
        for rules in maps[1:]:
            theirs = renamed(theirs, rules)
        assert tensor.unique().tolist() == [values[theirs]], (place, theirs)


def test_pytorchvideo_as_it_is_and_inside_of_slowfast(tmp_path: Path):
    """SlowFast's `PTVX3D` and its like keep pytorchvideo's network as `model`."""
    torch.manual_seed(0)
    state = create_model("pytorchvideo/x3d_xs", num_classes=5, frames=4).state_dict()
    torch.save({"model_state": state}, tmp_path / "x3d.pyth")
    inside = {f"model.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 1, "model_state": inside, "cfg": "MODEL: {MODEL_NAME: PTVX3D}"}, tmp_path / "ptv.pyth")
    for file in ("x3d.pyth", "ptv.pyth"):
        spec = spec_for("pytorchvideo/x3d_xs", 5)
        network = spec.build()
        initialize_all(network, spec, read_weights(str(tmp_path / file)))
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.fixture(scope="module")
def x3d() -> dict[str, torch.Tensor]:
    """Tensors of SlowFast's X3D-XS, -S and -M."""
    return seeded(shapes_of("pytorchvideo/x3d_s", X3D))


def outcome(tensors: dict[str, torch.Tensor], content: Any = None, model: str = "pytorchvideo/x3d_s") -> None:
    spec = spec_for(model, 5)
    initialize_from(spec.meta_model, spec, Weights("a.pyth", tensors, layout=find_layout(tensors, content)))


def test_a_new_head_for_other_classes(x3d: dict[str, torch.Tensor]):
    spec = spec_for("pytorchvideo/x3d_s", 7)
    report = initialize_from(spec.meta_model, spec, Weights("a.pyth", x3d, layout=find_layout(x3d, None)))
    assert report.replaced == ["blocks.5.proj.weight", "blocks.5.proj.bias"]


@pytest.mark.parametrize(
    ("name", "code", "mentioned"),
    [
        ("s4.pathway0_res3.branch2.b.weight", "network_mismatch", "blocks.3.res_blocks.3.branch2.conv_b.weight"),
        ("s2.pathway0_res0.branch1_bn.running_var", "network_mismatch", "blocks.1.res_blocks.0.branch1_norm"),
        ("head.lin_5.weight", "network_mismatch", "blocks.5.pool.post_conv.weight"),
    ],
)
def test_missing_and_misshapen_tensors_are_named(x3d: dict[str, torch.Tensor], name: str, code: str, mentioned: str):
    without = {own: tensor for own, tensor in x3d.items() if own != name}
    with refused(f"weights.{code}", "a.pyth", mentioned):
        outcome(without)
    with refused(f"weights.{code}", "a.pyth", mentioned if "bn" not in name else "X3D as SlowFast stores it"):
        outcome({**x3d, name: torch.zeros(3, 3, 3, 3, 3)})


def test_tensors_that_are_too_many_are_named(x3d: dict[str, torch.Tensor]):
    with refused("weights.extra_tensors", "a.pyth", "X3D as SlowFast stores it", "s2.pathway0_res0.branch3.weight"):
        outcome({**x3d, "s2.pathway0_res0.branch3.weight": torch.zeros(1)})
    with refused("weights.network_mismatch", "layers that it lacks", "blocks.4.res_blocks.7.branch2.norm_c.bias"):
        outcome({**x3d, "s5.pathway0_res7.branch2.c_bn.bias": torch.zeros(192)})


def some(*names: str, shape: tuple[int, ...] = (1, 1, 1, 1, 1)) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name in names}


MVIT_NAMES = ("patch_embed.proj.weight", "blocks.0.attn.norm_k.weight", "head.projection.weight")


@pytest.mark.parametrize(
    ("tensors", "mentioned"),
    [
        (some("s1.pathway0_stem.conv.weight", "head.projection.weight"), ["SlowFast", "Slow, C2D or I3D"]),
        (some("s1.pathway0_stem.conv.weight", "s3.pathway0_nonlocal1.conv_g.weight"), ["non-local"]),
        (some(*MVIT_NAMES, "rev_backbone.layers.0.F.norm.weight"), ["reversible"]),
        (some(*MVIT_NAMES, "mask_token"), ["fine-tune"]),
        (some(*MVIT_NAMES, shape=(1, 1, 1, 1)), ["images"]),
        (some(*MVIT_NAMES, "blocks.0.attn.rel_pos_h", "blocks.16.norm1.weight"), ["MViTv2-B", "torchvision/mvit_v2_s"]),
        (some("backbone.slow_path.conv1.conv.weight", "cls_head.fc_cls.bias"), ["mmaction2", "SlowFast", "lateral"]),
        (some("backbone.conv1.conv.conv_s.weight", "cls_head.fc_cls.bias"), ["mmaction2", "R(2+1)D", "83", "45"]),
        (some("module.backbone.conv1.weight", "module.cls_head.fc_cls.bias"), ["mmaction2", "X3D and MViTv2-S"]),
    ],
)
def test_other_networks_are_refused_by_name(tensors: dict[str, torch.Tensor], mentioned: list[str]):
    with refused("weights.unsupported_layout", "a.pyth", *mentioned):
        outcome(tensors)


def test_another_network_than_that_of_the_file_is_named(x3d: dict[str, torch.Tensor]):
    with refused("weights.unsupported_layout", "X3D as SlowFast stores it", "pytorchvideo/x3d_s", "torchvision/r3d_18"):
        outcome(x3d, model="torchvision/r3d_18")


CFG = """
DATA: {NUM_FRAMES: 13, SAMPLING_RATE: 3, MEAN: [0.4, 0.45, 0.5], STD: [0.2, 0.225, 0.25], REVERSE_INPUT_CHANNEL: false}
RESNET: {STRIDE_1X1: false}
MODEL: {HEAD_ACT: softmax}
"""
MMACTION2_CFG = """
model = dict(
    backbone=dict(type='X3D', gamma_w=1, gamma_b=2.25, gamma_d=2.2),
    data_preprocessor=dict(type='ActionDataPreprocessor', mean=[102, 114.75, 127.5], std=[51, 57.375, 63.75]))
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=13, frame_interval=3, num_clips=10, test_mode=True),
    dict(type='Resize', scale=(-1, 182)),
]
"""


@pytest.mark.parametrize(
    ("change", "code", "mentioned"),
    [
        (("NUM_FRAMES: 13", "NUM_FRAMES: 16"), "frames_mismatch", ["16", "pytorchvideo/x3d_s", "13"]),
        (("STRIDE_1X1: false", "STRIDE_1X1: true"), "unsupported_layout", ["RESNET.STRIDE_1X1 = True"]),
        (("CHANNEL: false", "CHANNEL: true"), "unsupported_layout", ["DATA.REVERSE_INPUT_CHANNEL"]),
        (("softmax", "sigmoid"), "unsupported_layout", ["MODEL.HEAD_ACT = sigmoid"]),
    ],
)
def test_networks_that_differ_in_what_no_tensor_shows(
    x3d: dict[str, torch.Tensor], change: tuple[str, str], code: str, mentioned: list[str]
):
    outcome(x3d, {"cfg": CFG})
    with refused(f"weights.{code}", "a.pyth", *mentioned):
        outcome(x3d, {"cfg": CFG.replace(*change)})


def test_slowfast_4x16_is_not_8x8():
    tensors = {name: torch.zeros(shape) for name, shape in shapes_of("pytorchvideo/slowfast_r50", SLOWFAST).items()}
    outcome(tensors, {"cfg": "SLOWFAST: {ALPHA: 4}"}, "pytorchvideo/slowfast_r50")
    with refused("weights.unsupported_layout", "SLOWFAST.ALPHA = 8"):
        outcome(tensors, {"cfg": "SLOWFAST: {ALPHA: 8}"}, "pytorchvideo/slowfast_r50")


@pytest.mark.parametrize(
    "content",
    [
        {"cfg": "{" * 10_000, "meta": {"cfg": "(" * 10_000}},
        {"cfg": "DATA: [1", "meta": {"cfg": "model = dict("}},
        {"cfg": "DATA: 3\nMODEL: {a: !!python/object/apply:os.system [true]}", "meta": {"cfg": "\0"}},
        {"cfg": "x" * (1 << 19), "meta": {"cfg": "x" * (1 << 19)}},
        {"cfg": b"", "meta": []},
        {"cfg": "DATA: {NUM_FRAMES: -1, SAMPLING_RATE: a, MEAN: [1, 2], STD: [a, b, c]}", "meta": {"cfg": "mean=1"}},
    ],
)
def test_configs_that_cannot_be_read_say_nothing(content: Any):
    for names in (("s1.pathway0_stem.conv_xy.weight",), ("backbone.conv1_s.conv.weight", "cls_head.fc1.weight")):
        layout = find_layout(some(*names), content)
        assert layout is not None
        takes = layout.trained_on
        assert (takes.frames, takes.stride, takes.mean, takes.std) == (None,) * 4


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["SlowFast", "mmaction2"])
def test_a_checkpoint_is_converted_with_its_own_input(
    framework: str, x3d: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if framework == "SlowFast":
        content: dict[str, Any] = {"epoch": 3, "model_state": x3d, "optimizer_state": {"state": {}}, "cfg": CFG}
    else:
        tensors = {renamed(name, MMACTION2_X3D): tensor for name, tensor in x3d.items()}
        tensors["cls_head.fc1.weight"] = tensors["cls_head.fc1.weight"].flatten(1)
        content = {"meta": {"cfg": MMACTION2_CFG, "seed": 1}, "state_dict": tensors}
    torch.save(content, tmp_path / "a.pyth")
    (tmp_path / "names.txt").write_text("e\nd\nc\nb\na\n")
    command = ["convert", "--model", "pytorchvideo/x3d_s", "--weights", str(tmp_path / "a.pyth")]
    command += ["--classes", str(tmp_path / "names.txt"), "--output", str(tmp_path / "w.pt")]
    assert cli.main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["layout"] == f"X3D as {framework} stores it" and document["license"].startswith("Apache-2.0")
    network, spec = load_weights(tmp_path / "w.pt")
    takes = spec.input
    assert (takes.frames, takes.stride, takes.resize, takes.crop) == (13, 3, 182, 160)
    assert (takes.mean, takes.std) == ((0.4, 0.45, 0.5), (0.2, 0.225, 0.25))
    assert spec.classes == ["e", "d", "c", "b", "a"]
    state = network.state_dict()
    assert torch.equal(state["blocks.5.proj.weight"], x3d["head.projection.weight"])
    assert cli.main([*command, "--stride", "6"]) == 0
    assert "license: Apache-2.0" in capsys.readouterr().out
    assert load_weights(tmp_path / "w.pt")[1].input.stride == 6


@pytest.mark.slow
def test_a_frozen_teacher_of_a_run(x3d: dict[str, torch.Tensor], tiny_config: Callable[..., Path], tmp_path: Path):
    torch.save({"model_state": x3d, "cfg": CFG}, tmp_path / "a.pyth")
    (tmp_path / "names.txt").write_text("drifting north\na\nb\nc\nd\n")
    teacher = "{model: pytorchvideo/x3d_s, init_from: %s, frozen: true, classes: %s}"
    given = teacher % (tmp_path / "a.pyth", tmp_path / "names.txt")
    resolved = resolve(load_config(str(tiny_config()), [f"teacher={given}", "approaches=[semi_supervised]"]))
    takes = resolved.networks["teacher"].architecture.input
    assert (takes.frames, takes.stride, takes.mean) == (13, 3, (0.4, 0.45, 0.5))


def test_a_plug_in_with_the_names_of_its_framework(monkeypatch: pytest.MonkeyPatch):
    class Theirs(nn.Module):
        def __init__(self, num_classes: int, frames: int):
            super().__init__()
            self.backbone, self.cls_head = nn.Conv3d(3, 4, 1), nn.Linear(4, num_classes)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.cls_head(self.backbone(frames).mean((2, 3, 4)))
            return logits

    monkeypatch.setattr(registry, "_MODELS", type(registry._MODELS)("model"))
    registry.register_model("theirs", frames=2)(Theirs)
    torch.manual_seed(0)
    tensors = Theirs(5, 2).state_dict()
    network = loaded("theirs", tensors)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in network.state_dict().items())


def test_pickles_of_both_frameworks_say_what_to_do(tmp_path: Path):
    (tmp_path / "SLOWFAST_8x8_R50.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": np.zeros(3)}}, protocol=2))
    with refused("weights.unsafe", "SLOWFAST_8x8_R50.pkl", "Caffe2", "pytorchvideo", "CHECKPOINT_TYPE"):
        read_weights(str(tmp_path / "SLOWFAST_8x8_R50.pkl"))
    kind = type("HistoryBuffer", (), {"__module__": "mmengine.logging.history_buffer", "__qualname__": "HistoryBuffer"})
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
            module = ModuleType(name)
            module.HistoryBuffer = kind  # type: ignore[attr-defined]
            patch.setitem(sys.modules, name, module)
        torch.save({"state_dict": {}, "message_hub": kind()}, tmp_path / "epoch_1.pth")
    with refused("weights.unsafe", "mmengine.logging.history_buffer", "publish_model.py"):
        read_weights(str(tmp_path / "epoch_1.pth"))
