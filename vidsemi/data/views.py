"""The views of an example for scoring and evaluation. No torch: worker processes start in a fraction of a second."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidsemi.data.clip_sampling import view_indices
from vidsemi.data.frame_cache import FrameCache
from vidsemi.data.input_spec import MAX_CLIP_PIXELS, InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, read_frames
from vidsemi.data.transforms import center_crop, ten_crops
from vidsemi.data.video.backends import check_decoder


@dataclass(frozen=True)
class ViewRequest:
    """Consecutive views of an example, to read in one pass: all crops of one clip, then those of the next."""

    row: Row
    first: int  # view
    stop: int  # the view after the last one
    of: int  # number of views that the example has

    @property
    def path(self) -> str:
        """Of the example."""
        return self.row.path


@dataclass(frozen=True)
class ViewReader:
    """Reads views. Can be pickled."""

    spec: InputSpec
    views: int  # clips per video; an image has one
    most: int = 64  # views per pass, fewer of large clips, to bound the memory; others take another pass
    crops: int = 1  # per clip: 1 (center) or 10
    cache: FrameCache | None = None

    def __post_init__(self) -> None:
        """Check that the decoder is installed; raises a `UserError`."""
        check_decoder(self.spec.decoder)

    def requests(self, row: Row) -> Iterator[ViewRequest]:
        """The requests for all views of an example, in order."""
        clips, crops = 1 if is_image(row) else self.views, self.crops
        at_once = max(min(self.most // crops, MAX_CLIP_PIXELS // self.spec.clip_pixels), 1)  # clips per pass
        for first in range(0, clips, at_once):
            yield ViewRequest(row, first * crops, min(first + at_once, clips) * crops, clips * crops)

    def __call__(self, request: ViewRequest) -> np.ndarray:
        """Read the views of a request, (stop - first, T, 3, crop, crop) uint8; raises a `DecodeError`."""
        spec = self.spec
        first, stop, of = (number // self.crops for number in (request.first, request.stop, request.of))

        def choose(n: int) -> np.ndarray:
            return view_indices(n, spec.frames, spec.stride, of)[first:stop].reshape(-1)

        frames = read_frames(request.row, choose, size=spec.resize, decoder=spec.decoder, cache=self.cache)
        clips = frames.reshape(-1, spec.frames, *frames.shape[1:])
        if self.crops == 1:
            return np.ascontiguousarray(center_crop(clips, spec.crop))
        cut = ten_crops(clips, spec.crop).swapaxes(0, 1)
        return cut.reshape(-1, *cut.shape[2:])
