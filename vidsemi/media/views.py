"""All views of an example for scoring and evaluation. No torch: worker processes start in a fraction of a second."""

from dataclasses import dataclass

import numpy as np

from vidsemi.corpus.manifest import Row
from vidsemi.media.clips import view_indices
from vidsemi.media.reading import read_frames
from vidsemi.media.transforms import InputSpec, center_crop


@dataclass(frozen=True)
class ViewReader:
    """A row → its views. A plain value, so that any process can carry it.

    Attributes:
        spec: what the network takes.
        views: clips a video, V.
    """

    spec: InputSpec
    views: int

    def __call__(self, row: Row) -> np.ndarray:
        """All views of an example, (V, T, 3, crop, crop) uint8.

        Raises:
            DecodeError: the example cannot be read.
        """
        spec = self.spec

        def choose(n: int) -> np.ndarray:
            return view_indices(n, spec.frames, spec.stride, self.views).reshape(-1)

        frames = read_frames(row, choose, size=spec.resize, decoder=spec.decoder)
        cut = np.ascontiguousarray(center_crop(frames, spec.crop))
        return cut.reshape(self.views, spec.frames, *cut.shape[1:])
