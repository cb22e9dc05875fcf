"""Tiny networks in Hugging Face's layout, saved by transformers itself, with classes that are not in order."""

from pathlib import Path
from typing import Any

import torch

CLASSES = ["zumba", "archery", "mopping floor", "kayaking", "fencing"]
WIDTH, LAYERS, SIDE, FRAMES, PATCH = 48, 2, 32, 4, 16  # of all video networks here
VIT = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 96}
VIT |= {"image_size": SIDE, "patch_size": PATCH}
CROP: dict[str, Any] = {"size": {"shortest_edge": 40}, "crop_size": {"height": SIDE, "width": SIDE}}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

# By family: the classifier, its config, its processor, and what differs from the processor's defaults.
FAMILIES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "videomae": (
        "VideoMAEForVideoClassification",
        {**VIT, "num_frames": FRAMES, "tubelet_size": 2},
        "VideoMAEVideoProcessor",
        {**CROP, **IMAGENET},
    ),
    "timesformer": (
        "TimesformerForVideoClassification",
        {**VIT, "num_frames": FRAMES},
        "TimesformerVideoProcessor",
        {**CROP, "image_mean": [0.45, 0.45, 0.45], "image_std": [0.225, 0.225, 0.225]},
    ),
    "vivit": (
        "VivitForVideoClassification",
        {**{key: value for key, value in VIT.items() if key != "patch_size"}, "num_frames": FRAMES},
        "VivitVideoProcessor",
        CROP,
    ),
    "vjepa2": (
        "VJEPA2ForVideoClassification",
        {
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 2,
            "mlp_ratio": 2.0,
            "crop_size": SIDE,
            "frames_per_clip": FRAMES,
            "num_pooler_layers": 1,
            "pred_hidden_size": 24,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
        },
        "VJEPA2VideoProcessor",
        {"crop_size": SIDE},
    ),
    "vit": ("ViTForImageClassification", VIT, "ViTImageProcessor", {"size": {"height": SIDE, "width": SIDE}}),
    "convnext": (
        "ConvNextForImageClassification",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": SIDE}, **IMAGENET},
    ),
}
VIDEO = ("videomae", "timesformer", "vivit", "vjepa2")


def save_folder(folder: Path, family: str, **config: Any) -> Path:
    """Save a network of a family with random weights, far enough from their start that logits differ."""
    import transformers

    network, values, processor, own = FAMILIES[family]
    kind = getattr(transformers, network)
    names = dict(enumerate(CLASSES))
    ids = {name: number for number, name in names.items()}
    torch.manual_seed(0)
    built = kind(kind.config_class(**{**values, "id2label": names, "label2id": ids, **config}))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    built.save_pretrained(folder)
    getattr(transformers, processor)(**own).save_pretrained(folder)
    return folder
