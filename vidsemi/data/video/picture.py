"""How the frames of a stream are shown: cropped as the container says, in the shape of its pixels, fields together."""

from fractions import Fraction

import av
from av.filter import Graph

from vidsemi.data.input_spec import Size
from vidsemi.data.transforms import MAX_ASPECT, scaled_size
from vidsemi.data.video.container import Source
from vidsemi.data.video.cropping import Crop, container_crop
from vidsemi.data.video.orientation import Orientation, Orientations


class Picture:
    """What a container says of the picture of one of its streams."""

    def __init__(self, source: Source, stream: av.VideoStream):
        self.crop = container_crop(source, stream)
        self._whole = self.crop == Crop()
        aspect = stream.sample_aspect_ratio or Fraction(1)
        # of a pixel, width over height; beyond 8 it is damage
        self.aspect = aspect if Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT else Fraction(1)
        self.orientations = Orientations()
        self._filters: tuple[tuple[int, int, str], Graph] | None = None

    def size(self, size: Size | None, frame: av.VideoFrame, shown: Orientation) -> tuple[int, int]:
        """(height, width) of the upright result for a frame without its crop; `size` is as in `read_video`.

        Pixels that are not square are stretched, not squeezed, as by players.
        """
        height, width = frame.height, frame.width
        if self.aspect > 1:
            width = round(width * self.aspect)
        else:
            height = round(height / self.aspect)
        height, width = shown.size(height, width)
        return (height, width) if size is None else scaled_size(size, height, width)

    def prepare(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Crop a frame, and let swscale take both fields of an interlaced one as one picture, without copying it.

        swscale would scale each field by itself: small frames then show every second line as of another moment. decord,
        torchcodec and the ffmpeg command take them as one, too.
        """
        if self._whole and not frame.interlaced_frame:
            return frame
        kind = (frame.width, frame.height, frame.format.name)
        if self._filters is None or self._filters[0] != kind:
            self._filters = (kind, self._graph(frame))
        graph = self._filters[1]
        graph.push(frame)
        return graph.vpull()

    def _graph(self, frame: av.VideoFrame) -> Graph:
        left, top, right, bottom = self.crop
        graph = Graph()
        graph.threads = 1
        graph.link_nodes(
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)),
            graph.add("setfield", "prog"),
            graph.add("crop", f"iw-{left + right}:ih-{top + bottom}:{left}:{top}"),
            graph.add("buffersink"),
        ).configure()
        return graph
