"""Clip sampling, resizing, cropping and normalization."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Fraction, Section

Triple = tuple[float, float, float]
Deviations = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


def _check_resize(value: Any) -> Any:
    """One message for a value that is neither of two forms."""
    numbers = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    if not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers):
        raise ValueError("must be [height, width], or one number: the length of the shorter side")
    return value


Resize = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], BeforeValidator(_check_resize)]


def _check_shares(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1] <= 1:
        raise ValueError("must be two shares of a frame's area, the smaller first, above 0 and up to 1")
    return value


Shares = Annotated[tuple[float, float], AfterValidator(_check_shares)]


class Input(Section):
    """Clip sampling and preprocessing. Networks from a model library default to their own pretrained config instead."""

    stride: PositiveInt = 1
    """Step between sampled frames: 2 takes every second frame."""
    resize: Resize = (128, 171)
    """Resize frames to [height, width], or to this length of the shorter side."""
    crop: PositiveInt = 112
    """Side of the square crop: center crop at test, random crop in training."""
    random_resized_crop_scale: Shares | None = None
    """Use RandomResizedCrop in training: crop a random share of the frame's area between these two values, e.g. [0.08,
    1], with an aspect ratio of 3:4 to 4:3, and resize it to `crop` × `crop`. Images are cropped at full resolution."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip in training. Set to 0 if classes differ by left and right."""
    mean: Triple = (0.43216, 0.394666, 0.37645)
    """RGB mean to subtract, for pixel values in [0, 1]."""
    std: Deviations = (0.22803, 0.22145, 0.216989)
    """RGB standard deviation to divide by, for pixel values in [0, 1]."""
    decoder: Literal["pyav", "decord", "torchcodec"] = "pyav"
    """Video decoder. decord and torchcodec read only files they decode correctly; PyAV reads the others
    (docs/decoding.md)."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Input":
        if self.crop > (self.resize if isinstance(self.resize, int) else min(self.resize)):
            resize = self.resize if isinstance(self.resize, int) else list(self.resize)
            raise ValueError(f"crop {self.crop} is larger than resize {resize}")
        return self


class OwnInput(Section):
    """One network's overrides of Input."""

    stride: PositiveInt | None = None
    """Step between sampled frames: 2 takes every second frame."""
    resize: Resize | None = None
    """Resize frames to [height, width], or to this length of the shorter side."""
    crop: PositiveInt | None = None
    """Side of the square crop."""
    mean: Triple | None = None
    """RGB mean, for pixel values in [0, 1]."""
    std: Deviations | None = None
    """RGB standard deviation, for pixel values in [0, 1]."""
