"""The input that a network's published weights were trained with."""

from dataclasses import dataclass

Colors = tuple[float, float, float]


@dataclass(frozen=True)
class PretrainedConfig:
    """The input of a network of a model library; None where the library does not say.

    Attributes:
        frames: clip length T; 1 for images.
        stride: step between the frames of a clip.
        resize: shorter side of the frames, or (height, width).
        crop: side of the square.
        mean: of red, green and blue after division by 255.
        std: likewise.
    """

    frames: int | None = 1
    stride: int | None = None
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    mean: Colors | None = None
    std: Colors | None = None


IMAGENET = PretrainedConfig(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def colors(values: list[float] | tuple[float, ...]) -> Colors:
    """Convert a library's three numbers."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue
