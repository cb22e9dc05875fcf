"""`InputSpec`: what a network takes in. Scoring, evaluation, export and training all preprocess by it."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal["pyav", "decord", "torchcodec"]
Size = int | tuple[int, int]  # pixels of the shorter side, or (height, width)


@dataclass(frozen=True)
class InputSpec:
    """The input of a network: clip length, frame size and normalization. Stored with its weights."""

    frames: int  # clip length T
    stride: int  # step between the frames of a clip
    resize: Size  # (height, width) regardless of aspect ratio; or the shorter side, which keeps the aspect ratio
    crop: int  # side of the square crop: central at test, random in training
    mean: tuple[float, float, float]  # of red, green and blue, for values in [0, 1]
    std: tuple[float, float, float]
    decoder: Decoder = "pyav"  # for the files it is known to decode correctly; PyAV decodes the others
