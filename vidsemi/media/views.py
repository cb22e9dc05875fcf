"""All views of an example for scoring and evaluation. No torch: worker processes start in a fraction of a second."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidsemi.corpus.manifest import Row
from vidsemi.media.backends import check_decoder
from vidsemi.media.clips import view_indices
from vidsemi.media.reading import is_image, read_frames
from vidsemi.media.transforms import InputSpec, center_crop


@dataclass(frozen=True)
class ViewRequest:
    """Some views of an example, to be read in one pass over it.

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
        views: clips a video, V; an image has one view.
        most: views that are read at once; more of them take another pass over the video, and no more memory for frames.
    """

    spec: InputSpec
    views: int
    most: int = 64

    def __post_init__(self) -> None:
        """Refuse a decoder that is not installed, with a UserError."""
        check_decoder(self.spec.decoder)

    def requests(self, row: Row) -> Iterator[ViewRequest]:
        """What to ask for to have every view of an example, in order."""
        views = 1 if is_image(row) else self.views
        for first in range(0, views, self.most):
            yield ViewRequest(row, first, min(first + self.most, views), views)

    def __call__(self, request: ViewRequest) -> np.ndarray:
        """The views asked for, (stop - first, T, 3, crop, crop) uint8.

        Raises:
            DecodeError: the example cannot be read.
        """
        spec = self.spec

        def choose(n: int) -> np.ndarray:
            return view_indices(n, spec.frames, spec.stride, request.of)[request.first : request.stop].reshape(-1)

        frames = read_frames(request.row, choose, size=spec.resize, decoder=spec.decoder)
        cut = np.ascontiguousarray(center_crop(frames, spec.crop))
        return cut.reshape(-1, spec.frames, *cut.shape[1:])
