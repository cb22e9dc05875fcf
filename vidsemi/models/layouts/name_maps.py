"""Names of the tensors of SlowFast's and mmaction2's networks → those of pytorchvideo's and torchvision's.

They are those of the sources of SlowFast (github.com/facebookresearch/SlowFast, commit 287ec00 of March 2026) and of
mmaction2 1.2.0; tests/models/test_layouts.py compares with what these compute.
"""

import torch

from vidsemi.models.layouts.layout import NameMap, Tensors

BN_EPS = 1e-5  # of all four libraries' X3D
STAGES = range(1, 5)
BOTTLENECK = {"a": "conv_a", "a_bn": "norm_a", "b": "conv_b", "b_bn": "norm_b", "c": "conv_c", "c_bn": "norm_c"}
X3D_BLOCK = BOTTLENECK | {"b_bn": "norm_b.0", r"se\.fc1": "norm_b.1.block.0", r"se\.fc2": "norm_b.1.block.2"}
SHORTCUT = {"branch1": "branch1_conv", "branch1_bn": "branch1_norm"}

SLOWFAST = NameMap(
    {
        r"s1\.pathway([01])_stem\.conv": r"blocks.0.multipathway_blocks.\1.conv",
        r"s1\.pathway([01])_stem\.bn": r"blocks.0.multipathway_blocks.\1.norm",
        r"head\.projection": "blocks.6.proj",
    }
    | {
        rf"s{stage}_fuse\.{theirs}": f"blocks.{stage - 1}.multipathway_fusion.{ours}"
        for stage in STAGES
        for theirs, ours in (("conv_f2s", "conv_fast_to_slow"), ("bn", "norm"))
    }
    | {
        rf"s{stage + 1}\.pathway([01])_res(\d+)\.{theirs}": (
            rf"blocks.{stage}.multipathway_blocks.\1.res_blocks.\2.{ours}"
        )
        for stage in STAGES
        for theirs, ours in (
            SHORTCUT | {rf"branch2\.{theirs}": f"branch2.{ours}" for theirs, ours in BOTTLENECK.items()}
        ).items()
    }
)


def _finish_x3d(tensors: Tensors) -> Tensors:
    """Fit pytorchvideo's X3D, which lacks one batch norm that the others have: that of the first block's shortcut.

    In evaluation mode it scales and shifts what the shortcut adds to the block. The scale goes into its convolution,
    the shift into the batch norm at the block's end. The head's first linear layer is a 1×1×1 convolution.
    """
    block = "blocks.1.res_blocks.0"
    gamma, beta, mean, variance = (
        tensors.pop(f"{block}.branch1_norm.{name}").float()
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    tensors.pop(f"{block}.branch1_norm.num_batches_tracked", None)
    scale = gamma / torch.sqrt(variance + BN_EPS)
    conv, bias = f"{block}.branch1_conv.weight", f"{block}.branch2.norm_c.bias"
    tensors[conv] = tensors[conv].float() * scale.reshape(-1, 1, 1, 1, 1)
    tensors[bias] = tensors[bias].float() + beta - mean * scale
    linear = "blocks.5.pool.post_conv.weight"
    if tensors[linear].dim() == 2:
        tensors[linear] = tensors[linear][:, :, None, None, None]
    return tensors


X3D = NameMap(
    {
        # pytorchvideo has the names of the stem's two convolutions the other way round.
        r"s1\.pathway0_stem\.conv_xy": "blocks.0.conv.conv_t",
        r"s1\.pathway0_stem\.conv": "blocks.0.conv.conv_xy",
        r"s1\.pathway0_stem\.bn": "blocks.0.norm",
        r"head\.conv_5": "blocks.5.pool.pre_conv",
        r"head\.conv_5_bn": "blocks.5.pool.pre_norm",
        r"head\.lin_5": "blocks.5.pool.post_conv",
        r"head\.projection": "blocks.5.proj",
    }
    | {
        rf"s{stage + 1}\.pathway0_res(\d+)\.{theirs}": rf"blocks.{stage}.res_blocks.\1.{ours}"
        for stage in STAGES
        for theirs, ours in (
            SHORTCUT | {rf"branch2\.{theirs}": f"branch2.{ours}" for theirs, ours in X3D_BLOCK.items()}
        ).items()
    },
    finish=_finish_x3d,
)

MMACTION2_X3D = NameMap(
    {
        r"backbone\.conv1_s\.conv": "blocks.0.conv.conv_t",
        r"backbone\.conv1_t\.conv": "blocks.0.conv.conv_xy",
        r"backbone\.conv1_t\.bn": "blocks.0.norm",
        r"backbone\.conv5\.conv": "blocks.5.pool.pre_conv",
        r"backbone\.conv5\.bn": "blocks.5.pool.pre_norm",
        r"cls_head\.fc1": "blocks.5.pool.post_conv",
        r"cls_head\.fc2": "blocks.5.proj",
    }
    | {
        rf"backbone\.layer{stage}\.(\d+)\.{theirs}": rf"blocks.{stage}.res_blocks.\1.{ours}"
        for stage in STAGES
        for theirs, ours in (
            (r"downsample\.conv", "branch1_conv"),
            (r"downsample\.bn", "branch1_norm"),
            (r"conv1\.conv", "branch2.conv_a"),
            (r"conv1\.bn", "branch2.norm_a"),
            (r"conv2\.conv", "branch2.conv_b"),
            (r"conv2\.bn", "branch2.norm_b.0"),
            (r"se_module\.fc1", "branch2.norm_b.1.block.0"),
            (r"se_module\.fc2", "branch2.norm_b.1.block.2"),
            (r"conv3\.conv", "branch2.conv_c"),
            (r"conv3\.bn", "branch2.norm_c"),
        )
    },
    finish=_finish_x3d,
)


def _finish_torchvision_mvit(tensors: Tensors) -> Tensors:
    """Drop the leading dimensions of length 1 of tokens and positions; join what projects to q, k and v."""
    for name in [name for name in tensors if name.startswith("pos_encoding.")]:
        tokens = 2 if name.endswith(("spatial_pos", "temporal_pos")) else 1  # dimensions
        while tensors[name].dim() > tokens and tensors[name].shape[0] == 1:
            tensors[name] = tensors[name][0]
    for name in [name for name in tensors if ".attn.q." in name]:
        parts = [tensors.pop(name.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
        tensors[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat(parts)
    return tensors


def _finish_pytorchvideo_mvit(tensors: Tensors) -> Tensors:
    """Split what projects to q, k and v at once."""
    for name in [name for name in tensors if ".attn.qkv." in name]:
        for part, tensor in zip("qkv", tensors.pop(name).chunk(3), strict=True):
            tensors[name.replace(".attn.qkv.", f".attn.{part}.")] = tensor
    return tensors


def _torchvision_mvit(backbone: str, embedding: str, norm: str, head: str) -> NameMap:
    block, ours = rf"{backbone}blocks\.(\d+)\.", r"blocks.\1."
    return NameMap(
        {
            rf"{backbone}{embedding}": "conv_proj",
            rf"{block}(norm[12])": rf"{ours}\2",
            rf"{block}attn\.(q|k|v|qkv)": rf"{ours}attn.\2",
            rf"{block}attn\.proj": rf"{ours}attn.project.0",
            rf"{block}attn\.pool_([qkv])": rf"{ours}attn.pool_\2.pool",
            rf"{block}attn\.norm_([qkv])": rf"{ours}attn.pool_\2.norm_act.0",
            rf"{block}mlp\.fc1": rf"{ours}mlp.0",
            rf"{block}mlp\.fc2": rf"{ours}mlp.3",
            rf"{block}proj": rf"{ours}project",
            rf"{backbone}{norm}": "norm",
            head: "head.1",
        },
        {
            rf"{backbone}cls_token": "pos_encoding.class_token",
            rf"{backbone}pos_embed_(spatial|temporal|class)": r"pos_encoding.\1_pos",
            rf"{block}attn\.rel_pos_([hwt])": rf"{ours}attn.rel_pos_\2",
        },
        _finish_torchvision_mvit,
    )


TORCHVISION_MVIT = _torchvision_mvit("", r"patch_embed\.proj", "norm", r"head\.projection")
MMACTION2_MVIT = _torchvision_mvit(r"backbone\.", r"patch_embed\.projection", "norm3", r"cls_head\.fc_cls")
PYTORCHVIDEO_MVIT = NameMap(
    {
        r"patch_embed\.proj": "patch_embed.patch_model",
        r"blocks\.(\d+)\.(norm[12]|mlp\.fc[12]|proj)": r"blocks.\1.\2",
        r"blocks\.(\d+)\.attn\.(q|k|v|qkv|proj|pool_[qkv]|norm_[qkv])": r"blocks.\1.attn.\2",
        "norm": "norm_embed",
        r"head\.projection": "head.proj",
    },
    {
        "cls_token": "cls_positional_encoding.cls_token",
        "pos_embed_(spatial|temporal|class)": r"cls_positional_encoding.pos_embed_\1",
    },
    _finish_pytorchvideo_mvit,
)
