"""`read_clips`: the test clips of a video."""

import math
import os

import torch

from vidsemi.api.arguments import PathArgument, check_count
from vidsemi.api.checked_input import checked_input
from vidsemi.data.input_spec import InputSpec, Size
from vidsemi.data.manifest import Row
from vidsemi.data.normalize import normalize as normalized
from vidsemi.data.views import ViewReader
from vidsemi.io.errors import UserError

MAX_PIXELS = 1 << 28  # of all clips: 3.2 GB as float32


def read_clips(
    path: PathArgument,
    frames: int | None = None,
    clips: int = 10,
    *,
    stride: int | None = None,
    resize: Size | None = None,
    size: int | None = None,
    normalize: bool = True,
    start: float | None = None,
    end: float | None = None,
    input: InputSpec | None = None,
) -> torch.Tensor:
    """Read evenly spaced clips of a video, the same as scoring and evaluation do.

    The first clip begins with the video, the last one ends with it; a single clip is in the middle. A video shorter
    than a clip repeats its last frame. An image has one clip, which repeats the image.

    `model(read_clips(path, input=model.input)).softmax(1).mean(0)` are the scores of a video.

    Args:
        path: a video or image, or a URI.
        frames: clip length T.
        clips: number of clips.
        stride: step between the frames of a clip.
        resize: (height, width) of the frames before the crop, or the length of their shorter side.
        size: side of the central square crop.
        normalize: whether to subtract the mean and divide by the standard deviation.
        start: seconds of the video to begin at.
        end: seconds of the video to end at.
        input: such as `model.input`, for what the arguments above leave out; `InputSpec()` by default: 8 frames of
            112×112.

    Returns:
        (clips, 3, T, size, size) float32; or uint8, RGB, if not normalized.

    Raises:
        DecodeError: the file cannot be read.
        UserError: a value is not valid.
    """
    spec, _ = checked_input(input, frames=frames, stride=stride, resize=resize, crop=size)
    check_count("clips", clips)
    if clips * spec.frames * spec.crop**2 > MAX_PIXELS:
        raise UserError(
            "clips.too_many",
            f"{clips} clips of {spec.frames} frames with {spec.crop}×{spec.crop} pixels are more than {MAX_PIXELS:,} "
            "pixels; read fewer clips, or shorter or smaller ones",
        )
    if not isinstance(path, str | os.PathLike) or not (name := os.fspath(path)):
        raise UserError("options.invalid", f"path is {path!r}; give the path of a video or image")
    for what, seconds in (("start", start), ("end", end)):
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < math.inf):
            raise UserError("options.invalid", f"{what} is {seconds!r}; give seconds from 0 on")
    reader = ViewReader(spec, clips)
    pieces = [torch.from_numpy(reader(request)) for request in reader.requests(Row(0, name, start=start, end=end))]
    views = torch.cat(pieces)
    return (normalized(views, spec) if normalize else views.transpose(1, 2)).contiguous()
