"""What networks take in."""

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
    """What the paper's networks take in, but for the clip length; networks of a zoo take what they were made for."""

    stride: PositiveInt = 1
    """Step between the frames of a clip."""
    resize: Resize = (128, 171)
    """Height and width that frames are scaled to, or the length of the shorter side."""
    crop: PositiveInt = 112
    """Side of the square cut from them: the centre at test, anywhere in training."""
    random_resized_crop_scale: Shares | None = None
    """Instead of that square, train on rectangles of 3:4 to 4:3 that cover from the first to the second share of the
    frame, such as [0.08, 1], scaled to `crop` × `crop`; of images, before they are scaled to anything else."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip in training; 0 where left and right are different classes."""
    mean: Triple = (0.43216, 0.394666, 0.37645)
    """Mean of red, green and blue after division by 255; subtracted."""
    std: Deviations = (0.22803, 0.22145, 0.216989)
    """Standard deviation of the same; divided by."""
    decoder: Literal["pyav", "decord", "torchcodec"] = "pyav"
    """Library that decodes the files it gets right; PyAV decodes all others (docs/decoding.md)."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Input":
        if self.crop > (self.resize if isinstance(self.resize, int) else min(self.resize)):
            resize = self.resize if isinstance(self.resize, int) else list(self.resize)
            raise ValueError(f"crop {self.crop} is larger than resize {resize}")
        return self


class OwnInput(Section):
    """What one network takes in, where that is not what the others do. Keys as in Input."""

    stride: PositiveInt | None = None
    """Step between the frames of a clip."""
    resize: Resize | None = None
    """Height and width that frames are scaled to, or the length of the shorter side."""
    crop: PositiveInt | None = None
    """Side of the square."""
    mean: Triple | None = None
    """Mean of red, green and blue after division by 255."""
    std: Deviations | None = None
    """Standard deviation of the same."""
