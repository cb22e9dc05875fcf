"""`InputSpec`: what a network takes in. Scoring, evaluation, export and training all preprocess by it."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal["pyav", "decord", "torchcodec"]
MAX_CLIP_PIXELS = 1 << 26  # of all frames of a clip, resized: 200 MB
Size = int | tuple[int, int]  # pixels of the shorter side, or (height, width)


@dataclass(frozen=True)
class InputSpec:
    """The input of a network: clip length, frame size and normalization. Stored with its weights, not the decoder."""

    frames: int  # clip length T
    stride: int  # step between the frames of a clip
    resize: Size  # (height, width) regardless of aspect ratio; or the shorter side, which keeps the aspect ratio
    crop: int  # side of the square crop: central at test, random in training
    mean: tuple[float, float, float]  # of red, green and blue, for values in [0, 1]
    std: tuple[float, float, float]
    decoder: Decoder = "pyav"  # for the files it is known to decode correctly; PyAV decodes the others

    @property
    def clip_pixels(self) -> int:
        """Pixels of all frames of a clip that keeps this size, or is square if only its shorter side is known."""
        height, width = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        return self.frames * height * width
