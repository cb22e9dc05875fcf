"""`InputSpec`: what a network takes in. Scoring, evaluation, export and training all preprocess by it."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal["pyav", "decord", "torchcodec"]
MAX_CLIP_PIXELS = 1 << 26  # of all frames of a clip, resized: 200 MB
Size = int | tuple[int, int]  # pixels of the shorter side, or (height, width)


@dataclass(frozen=True)
class InputSpec:
    """The input of a network: clip length, frame size and normalization. Stored with its weights, not the decoder.

    The defaults are those of the config's section Input, with the paper's shorter clips.
    """

    frames: int = 8  # clip length T
    stride: int = 1  # step between the frames of a clip
    resize: Size = (128, 171)  # (height, width) regardless of aspect ratio; or the shorter side, which keeps it
    crop: int = 112  # side of the square crop: central at test, random in training
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)  # of red, green, blue, for values in [0, 1]
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)
    decoder: Decoder = "pyav"  # for the files it is known to decode correctly; PyAV decodes the others

    @property
    def clip_pixels(self) -> int:
        """Pixels of all frames of a clip that keeps this size, or is square if only its shorter side is known."""
        height, width = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        return self.frames * height * width
