"""Finds whose network a file of another framework holds, and what the config in it says."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import yaml

from vidsemi.models.layouts import name_maps
from vidsemi.models.layouts.layout import UNKNOWN_INPUT, Layout, NameMap, different
from vidsemi.models.pretrained_cfg import Colors, PretrainedConfig

SLOWFAST, MMACTION2 = "SlowFast", "mmaction2"
MAX_CONFIG, MAX_BRACKETS = 1 << 16, 1000  # characters; both frameworks write some 10,000, YAML with 100 brackets
DAMAGED = (SyntaxError, ValueError, RecursionError, MemoryError, yaml.YAMLError, TypeError, OverflowError)

X3D = [f"pytorchvideo/x3d_{size}" for size in ("xs", "s", "m", "l")]
MVIT_V1 = {"torchvision/mvit_v1_b": name_maps.TORCHVISION_MVIT} | dict.fromkeys(
    ("pytorchvideo/mvit_base_16x4", "pytorchvideo/mvit_base_32x3"), name_maps.PYTORCHVIDEO_MVIT
)
SLOWFAST_TARGETS = dict.fromkeys(
    [f"pytorchvideo/slowfast_{depth}" for depth in ("r50", "r101", "16x8_r101_50_50")], name_maps.SLOWFAST
)
NO_LARGER_MVIT = "of MViTv2 only S, with 16 blocks, is a network here (torchvision/mvit_v2_s)"
SCORE_THERE = "score or fine-tune with {} itself, and let `vidsemi select` read its scores"

# Settings of SlowFast's config that change what a network computes, but not its tensors.
SAME = {"DATA.REVERSE_INPUT_CHANNEL": False, "DETECTION.ENABLE": False, "MODEL.HEAD_ACT": "softmax"}
SAME_RESNET = SAME | {"RESNET.STRIDE_1X1": False}
SAME_MVIT = SAME | {"MVIT.MODE": "conv", "MVIT.POOL_FIRST": False, "MVIT.USE_MEAN_POOLING": False}
SAME_MVIT |= {"MVIT.CLS_EMBED_ON": True, "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 8, 8]}
ONES, TWOS = [1, 1], [2, 2]
SAME_SLOWFAST = SAME_RESNET | {
    "SLOWFAST.ALPHA": 4,
    "RESNET.SPATIAL_STRIDES": [ONES, TWOS, TWOS, TWOS],
    "RESNET.SPATIAL_DILATIONS": [ONES] * 4,
}
# The same of mmaction2's, by the key in its backbone or preprocessor.
SAME_MMACTION2 = {"residual_pooling": True, "dim_mul_in_attention": True, "with_cls_token": True, "to_rgb": False}
SAME_MMACTION2 |= {"output_cls_token": True, "use_swish": True}


def find_layout(tensors: Mapping[str, torch.Tensor], content: Any) -> Layout | None:
    """Name the network of SlowFast or mmaction2 that a file holds, which cannot be one of any other library.

    Args:
        tensors: of the file.
        content: of the file, with the config that both frameworks store as a text; it is parsed, never executed.

    Returns:
        None if the file is not theirs, or has the names of a network here.
    """
    names = {name.removeprefix("module.") for name in tensors}
    if any(name.startswith("backbone.") for name in names) and any(name.startswith("cls_head.") for name in names):
        return _of_mmaction2(names, content)
    return _of_slowfast(names, tensors, content)


def _of_slowfast(names: set[str], tensors: Mapping[str, torch.Tensor], content: Any) -> Layout | None:
    settings = _slowfast_settings(content)
    takes = _slowfast_input(settings)

    def known(family: str, targets: Mapping[str, NameMap], same: Mapping[str, Any]) -> Layout:
        return Layout(SLOWFAST, family, targets, trained_on=takes, differences=different(settings, same))

    def refused(family: str, why: str) -> Layout:
        return Layout(SLOWFAST, family, {}, refusal=f"{why}; {SCORE_THERE.format(SLOWFAST)}")

    if any(name.startswith("s1.pathway0_stem.") for name in names):
        if any("_nonlocal" in name for name in names):
            return refused("a network with non-local blocks", "no network here has them")
        if "s1.pathway1_stem.conv.weight" in names:
            return known("SlowFast", SLOWFAST_TARGETS, SAME_SLOWFAST)
        if "s1.pathway0_stem.conv_xy.weight" in names:
            return known("X3D", dict.fromkeys(X3D, name_maps.X3D), SAME_RESNET)
        return refused("Slow, C2D or I3D", "of its ResNets only SlowFast and X3D are")
    if "patch_embed.proj.weight" not in names or not any(".attn.norm_k." in name for name in names):
        return None
    if any(name.startswith("rev_backbone.") for name in names):
        return refused("a reversible MViT", "no network here is reversible")
    if "mask_token" in names or "head.projection.weight" not in names:
        return refused("a pre-training MViT", "it has no classes; fine-tune it first")
    patches = next(tensor for name, tensor in tensors.items() if name.endswith("patch_embed.proj.weight"))
    if patches.dim() == 4:
        return refused("an MViT of images", "only those of videos are")
    if "blocks.0.attn.rel_pos_h" in names:
        same = SAME_MVIT | {"MVIT.RESIDUAL_POOLING": True, "MVIT.DIM_MUL_IN_ATT": True}
        if "blocks.16.norm1.weight" in names:
            return refused("MViTv2-B or -L", NO_LARGER_MVIT)
        return known("MViTv2", {"torchvision/mvit_v2_s": name_maps.TORCHVISION_MVIT}, same)
    same = SAME_MVIT | {"MVIT.RESIDUAL_POOLING": False, "MVIT.DIM_MUL_IN_ATT": False}
    return known("MViTv1", MVIT_V1, same)


def _of_mmaction2(names: set[str], content: Any) -> Layout:
    program = _mmaction2_config(content)
    given = dict(_keywords(program, "backbone")) | dict(_keywords(program, "data_preprocessor"))
    takes, differences = _mmaction2_input(program, given), different(given, SAME_MMACTION2)

    def known(family: str, targets: Mapping[str, NameMap]) -> Layout:
        return Layout(MMACTION2, family, targets, trained_on=takes, differences=differences)

    def refused(family: str, why: str) -> Layout:
        return Layout(MMACTION2, family, {}, refusal=f"{why}; {SCORE_THERE.format(MMACTION2)}")

    if "backbone.conv1_s.conv.weight" in names:
        return known("X3D", dict.fromkeys(X3D, name_maps.MMACTION2_X3D))
    if "backbone.patch_embed.projection.weight" in names and any(".attn.norm_k." in name for name in names):
        if "backbone.blocks.16.norm1.weight" in names:
            return refused("MViTv2-B or -L", NO_LARGER_MVIT)
        return known("MViTv2", {"torchvision/mvit_v2_s": name_maps.MMACTION2_MVIT})
    if any(name.startswith("backbone.slow_path.") for name in names):
        why = "its lateral connections have no batch norm and no ReLU, and its slow pathway takes other frames"
        return refused("SlowFast", f"{why} than pytorchvideo's SlowFast")
    if "backbone.conv1.conv.conv_s.weight" in names:
        why = "its stem has 83 middle planes and a max-pool, where R(2+1)D here has 45 and none"
        return refused("R(2+1)D", why)
    return refused("a network", "of mmaction2's only X3D and MViTv2-S are")


def _slowfast_settings(content: Any) -> dict[str, Any]:
    """The config of SlowFast in a checkpoint, YAML, by dotted keys; empty if there is none that can be read."""
    text = content.get("cfg") if isinstance(content, Mapping) else None
    if not isinstance(text, str) or len(text) > MAX_CONFIG or text.count("[") + text.count("{") > MAX_BRACKETS:
        return {}
    try:
        sections = yaml.safe_load(text)
    except DAMAGED:
        return {}
    if not isinstance(sections, dict):
        return {}
    return {
        f"{section}.{key}": value
        for section, values in sections.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


def _slowfast_input(settings: Mapping[str, Any]) -> PretrainedConfig:
    frames, stride = (_count(settings.get(f"DATA.{key}")) for key in ("NUM_FRAMES", "SAMPLING_RATE"))
    mean, std = (_colors(settings.get(f"DATA.{key}"), 1) for key in ("MEAN", "STD"))
    return PretrainedConfig(frames, stride, mean=mean, std=std)


def _mmaction2_config(content: Any) -> ast.AST | None:
    """The config of mmaction2 in a checkpoint, parsed as Python; None if there is none that can be read."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    if not isinstance(text, str) or len(text) > MAX_CONFIG:
        return None
    try:
        return ast.parse(text)
    except DAMAGED:
        return None


def _calls(program: ast.AST | None) -> Iterator[tuple[str, ast.Call]]:
    """All `name=dict(…)` of a config, in no particular order."""
    for node in ast.walk(program) if program else ():
        if isinstance(node, ast.keyword | ast.Assign) and isinstance(node.value, ast.Call):
            target = node.arg if isinstance(node, ast.keyword) else next(iter(node.targets))
            yield getattr(target, "id", target if isinstance(target, str) else ""), node.value


def _literals(call: ast.Call) -> Iterator[tuple[str, Any]]:
    for keyword in call.keywords:
        try:
            yield str(keyword.arg), ast.literal_eval(keyword.value)
        except DAMAGED:
            continue


def _keywords(program: ast.AST | None, name: str) -> Iterator[tuple[str, Any]]:
    for own, call in _calls(program):
        if own == name:
            yield from _literals(call)


def _mmaction2_input(program: ast.AST | None, given: Mapping[str, Any]) -> PretrainedConfig:
    takes = UNKNOWN_INPUT
    for node in ast.walk(program) if program else ():  # the same in all pipelines, but for the number of clips
        if isinstance(node, ast.Call) and (step := dict(_literals(node))).get("type") == "SampleFrames":
            takes = PretrainedConfig(_count(step.get("clip_len")), _count(step.get("frame_interval")))
    mean, std = (_colors(given.get(key), 255) for key in ("mean", "std"))
    return PretrainedConfig(takes.frames, takes.stride, mean=mean, std=std)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _colors(value: Any, divisor: int) -> Colors | None:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(isinstance(own, int | float) for own in value):
        return None
    red, green, blue = (round(own / divisor, 9) for own in value)
    return red, green, blue
