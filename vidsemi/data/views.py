"""All views of an example for scoring and evaluation. No torch: worker processes start in a fraction of a second."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidsemi.data.clip_sampling import view_indices
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, read_frames
from vidsemi.data.transforms import center_crop, ten_crops
from vidsemi.data.video.backends import check_decoder


@dataclass(frozen=True)
class ViewRequest:
    """Some views of an example, to be read in one pass over it: all crops of one clip, then those of the next.

    Attributes:
        row: the example.
        first: the first view wanted.
        stop: the one after the last.
        of: how many views the example has.
    """

    row: Row
    first: int
    stop: int
    of: int

    @property
    def path(self) -> str:
        """Of the example, as it can be opened."""
        return self.row.path


@dataclass(frozen=True)
class ViewReader:
    """Reads views. A plain value, so that any process can carry it.

    Attributes:
        spec: what the network takes.
        views: clips a video, V; an image has one.
        most: views that are read at once; more of them take another pass over the video, and no more memory.
        crops: of each clip: 1, the centre, or 10.
    """

    spec: InputSpec
    views: int
    most: int = 64
    crops: int = 1

    def __post_init__(self) -> None:
        """Refuse a decoder that is not installed, with a UserError."""
        check_decoder(self.spec.decoder)

    def requests(self, row: Row) -> Iterator[ViewRequest]:
        """What to ask for to have every view of an example, in order."""
        clips, crops = 1 if is_image(row) else self.views, self.crops
        at_once = max(self.most // crops, 1)  # clips
        for first in range(0, clips, at_once):
            yield ViewRequest(row, first * crops, min(first + at_once, clips) * crops, clips * crops)

    def __call__(self, request: ViewRequest) -> np.ndarray:
        """The views asked for, (stop - first, T, 3, crop, crop) uint8.

        Raises:
            DecodeError: the example cannot be read.
        """
        spec = self.spec
        first, stop, of = (number // self.crops for number in (request.first, request.stop, request.of))

        def choose(n: int) -> np.ndarray:
            return view_indices(n, spec.frames, spec.stride, of)[first:stop].reshape(-1)

        frames = read_frames(request.row, choose, size=spec.resize, decoder=spec.decoder)
        clips = frames.reshape(-1, spec.frames, *frames.shape[1:])
        if self.crops == 1:
            return np.ascontiguousarray(center_crop(clips, spec.crop))
        cut = ten_crops(clips, spec.crop).swapaxes(0, 1)
        return cut.reshape(-1, *cut.shape[2:])
