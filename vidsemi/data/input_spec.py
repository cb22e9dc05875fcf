"""`InputSpec`: what a network takes in. Scoring, evaluation, export and training all preprocess by it."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal["pyav", "decord", "torchcodec"]
Size = int | tuple[int, int]  # pixels of the shorter side, or (height, width)


@dataclass(frozen=True)
class InputSpec:
    """The input of a network: clip length, frame size and normalization. Stored with its weights.

    Attributes:
        frames: clip length T.
        stride: step between the frames of a clip.
        resize: (height, width) that frames are scaled to regardless of aspect ratio; or the length of the shorter side,
            which keeps the aspect ratio.
        crop: side of the square crop: central at test, random in training.
        mean: of red, green and blue, for values in [0, 1].
        std: likewise.
        decoder: library that decodes the files it is known to decode correctly; PyAV decodes the others.
    """

    frames: int
    stride: int
    resize: Size
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    decoder: Decoder = "pyav"
