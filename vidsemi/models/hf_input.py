"""The input of a network in Hugging Face's layout, from the folder's config and processor files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable
from vidsemi.models.hf_folder import processor_values, read_config
from vidsemi.models.pretrained_cfg import Colors, PretrainedConfig
from vidsemi.models.zoo import transformers as zoo

# A video network's processor is that of its family, whatever an older release wrote into the file.
VIDEO_PROCESSORS = {
    "VideoMAEForVideoClassification": "VideoMAEVideoProcessor",
    "TimesformerForVideoClassification": "TimesformerVideoProcessor",
    "VivitForVideoClassification": "VivitVideoProcessor",
    "VJEPA2ForVideoClassification": "VJEPA2VideoProcessor",
}
# Processors of images that resize, crop the center if they say so, rescale and normalize, and do nothing else.
IMAGE_PROCESSORS = ("Beit", "Bit", "CLIP", "DeiT", "MobileNetV1", "MobileNetV2", "Pvt", "Siglip", "ViT", "ConvNext")
CONVNEXT_WHOLE = 384  # from this side on ConvNeXt's images are resized to the square, not cropped


def classifier_of(folder: Path) -> str:
    """The name of the folder's classifier in transformers.

    Raises:
        UserError: it is not a classifier, or not one that is read here.
    """
    named = read_config(folder).get("architectures")
    name = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    if name in zoo.names():
        return name
    if name.endswith("Classification"):
        raise UserError(
            "hf.unsupported_network",
            f"{folder} holds {printable(name)}, which is not supported: of video networks VideoMAE, V-JEPA 2, "
            "TimeSformer and ViViT are, and transformers' own image classifiers; code in a folder is never run",
        )
    what = printable(name) or "a network without a name"
    raise UserError(
        "hf.not_a_classifier",
        f"{folder} holds {what}, which has no classes (architectures in config.json); give a fine-tuned classifier",
    )


def network_of(folder: Path, args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the folder's classifier and its args there; `args` replace values of its config.

    Raises:
        UserError: the config is missing, damaged, or not that of a classifier which is read here.
    """
    name, values = classifier_of(folder), read_config(folder)
    try:
        own = zoo.args_of(name, {**values, **args})
        zoo.config_of(name, 2, {**own, **args})  # for keys that do not exist
    except ValueError as error:
        raise UserError("hf.invalid_config", f"{folder}: {error}") from None
    return name, own


def input_of(folder: Path) -> PretrainedConfig:
    """The input of the folder's network. The stride is None, but for images: no file of this layout has it.

    Raises:
        UserError: a file is missing or damaged, or the network or its processor is not one that is read here.
    """
    name, own = network_of(folder, {})
    processor, file = _processor(folder, name)
    frames = own[zoo.VIDEO[name]] if name in zoo.VIDEO else 1
    resize, crop = _sizes(processor, file)
    mean, std = _colors(processor, file)
    return PretrainedConfig(frames, None if name in zoo.VIDEO else 1, resize, crop, mean, std)


def _processor(folder: Path, name: str) -> tuple[Any, Path]:
    import transformers

    values, file = processor_values(folder)
    kind = VIDEO_PROCESSORS.get(name)
    if kind is None:
        given = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
        family = given.removesuffix("Fast").removesuffix("Pil")
        family = family.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
        if family not in IMAGE_PROCESSORS:
            raise UserError(
                "hf.unsupported_processor",
                f"{file}: the processor {printable(given) or 'without a name'} is not supported; those of "
                f"{', '.join(IMAGE_PROCESSORS)} are",
            )
        kind = f"{family}ImageProcessor"
    try:
        return getattr(transformers, kind)(**values), file
    except Exception as error:  # of arbitrary values
        raise UserError("hf.invalid_processor", f"{file}: {kind}: {' '.join(str(error).split())}") from None


def _sizes(processor: Any, file: Path) -> tuple[int | tuple[int, int], int]:
    """The resized frames (the shorter side, or height and width) and the side of the crop."""
    size, crop = processor.size, getattr(processor, "crop_size", None)
    shorter, height, width = (size and getattr(size, key) for key in ("shortest_edge", "height", "width"))
    odd = not size or size.longest_edge or size.max_height or not processor.do_resize
    if odd or not (shorter or (height and width)) or getattr(processor, "do_pad", False):
        raise UserError("hf.invalid_processor", f"{file}: frames are not resized to a shorter side or an exact size")
    if type(processor).__name__.startswith("ConvNext"):
        if not shorter:
            raise UserError("hf.invalid_processor", f"{file}: the size of ConvNext has no shortest_edge")
        whole = shorter >= CONVNEXT_WHOLE
        return ((shorter, shorter) if whole else int(shorter / processor.crop_pct)), shorter
    resize = shorter or (height, width)
    cropped = (crop.height, crop.width) if getattr(processor, "do_center_crop", False) and crop else (height, width)
    if cropped[0] is None or cropped[0] != cropped[1]:
        raise UserError("hf.invalid_processor", f"{file}: frames are not cropped to a square")
    return resize, cropped[0]


def _colors(processor: Any, file: Path) -> tuple[Colors, Colors]:
    """Mean and deviation for pixel values in [0, 1], whatever the processor rescales to.

    It computes (factor · pixel - offset - mean) / std.
    """
    vivit = type(processor).__name__.startswith("Vivit")
    if vivit and getattr(processor, "offset", True) is False:
        raise UserError("hf.invalid_processor", f"{file}: offset is false, which transformers ignores today")
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    try:
        factor = 255.0 * (processor.rescale_factor if processor.do_rescale else 1)
        offset = 1.0 if vivit and processor.do_rescale else 0.0
        if processor.do_normalize:
            mean, std = _three(processor.image_mean), _three(processor.image_std)
        values = [*(round((offset + own) / factor, 9) for own in mean), *(round(own / factor, 9) for own in std)]
        if not all(map(math.isfinite, values)) or min(values[3:]) <= 0:
            raise ValueError
    except (TypeError, ValueError, ArithmeticError):
        raise UserError(
            "hf.invalid_processor", f"{file}: image_mean, image_std or rescale_factor is not a valid number"
        ) from None
    return (values[0], values[1], values[2]), (values[3], values[4], values[5])


def _three(values: Any) -> Colors:
    red, green, blue = values if isinstance(values, list | tuple) else [values] * 3
    return float(red), float(green), float(blue)
