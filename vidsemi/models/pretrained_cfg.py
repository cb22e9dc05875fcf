"""What a network of a zoo was made for."""

from dataclasses import dataclass

Colors = tuple[float, float, float]


@dataclass(frozen=True)
class WantedInput:
    """The input that a network's published weights were trained with; None where its zoo does not say.

    Attributes:
        frames: clip length T; 1 for images.
        stride: step between the frames of a clip.
        resize: shorter side of the frames, or (height, width).
        crop: side of the square.
        mean: of red, green and blue after division by 255.
        std: likewise.
    """

    frames: int | None
    stride: int | None
    resize: int | tuple[int, int] | None
    crop: int | None
    mean: Colors | None
    std: Colors | None


IMAGENET = WantedInput(1, None, 256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def colors(values: list[float] | tuple[float, ...]) -> Colors:
    """Three numbers of a zoo's list."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue
