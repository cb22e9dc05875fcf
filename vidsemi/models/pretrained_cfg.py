"""The input that a network's published weights were trained with."""

from dataclasses import dataclass

from vidsemi.io.errors import UserError

Colors = tuple[float, float, float]


@dataclass(frozen=True)
class PretrainedConfig:
    """The input of a network of a model library; None where the library does not say."""

    frames: int | None = 1  # clip length T; 1 for images
    stride: int | None = None  # step between the frames of a clip
    resize: int | tuple[int, int] | None = None  # shorter side of the frames, or (height, width)
    crop: int | None = None  # side of the square
    mean: Colors | None = None  # after division by 255
    std: Colors | None = None


IMAGENET = PretrainedConfig(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def colors(values: list[float] | tuple[float, ...]) -> Colors:
    """Convert a library's three numbers."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def check_one_frame(name: str, frames: int) -> None:
    """Raise `UserError` if an image network is to take clips of several frames."""
    if frames != 1:
        raise UserError("model.takes_images", f"{name} takes images: set its frames to 1, not {frames}")
