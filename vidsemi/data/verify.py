"""Decode every file of a manifest and report what it is, before anybody pays for a run over them."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.data.image import loaded, orientation, upright
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.read import is_image, locate
from vidsemi.data.video.color import check_colors
from vidsemi.data.video.container import Source, Trim, decode_errors, no_frames, open_video, read_bytes
from vidsemi.data.video.cropping import container_crop
from vidsemi.data.video.frame_folder import frame_paths, source_of
from vidsemi.data.video.orientation import Orientation, Orientations
from vidsemi.data.video.sequential import decoded_frames
from vidsemi.data.video.timeline import Stamps, frame_times
from vidsemi.io.tables import markdown_table

REASONS_SHOWN = 20

Look = tuple[int, int, Orientation, int]  # of a frame: height, width, how it is shown, duration

COLUMNS = {
    pa.int64(): ("frames", "announced", "damaged"),
    pa.float64(): ("seconds", "rate"),
    pa.int32(): ("width", "height", "rotation"),
    pa.string(): ("codec", "container", "error"),
}
SCHEMA = pa.schema(
    [("example_id", pa.int64()), ("path", pa.string()), ("member", pa.string())]
    + [(name, kind) for kind, names in COLUMNS.items() for name in names]
)


@dataclass(frozen=True)
class FileInfo:
    """A video, or an image as a video of one frame."""

    frames: int  # that decode, within the trim
    damaged: int  # packets that the decoder refuses and frames that it marks as corrupt, in the whole file
    seconds: float  # from the first frame to the end of the last; 0 without time stamps
    rate: float | None  # frames per second over that time; None for a single frame, or without time stamps
    width: int  # of the upright picture, in the pixels of the file
    height: int
    rotation: int  # counterclockwise degrees by which the container, or an image's EXIF, turns it; 0 if it mirrors it
    codec: str  # FFmpeg's name, or Pillow's of the image format, followed by the pixel mode if it is not RGB
    container: str  # FFmpeg's name, "image", or "folder" for a folder of frames
    announced: int  # frames by the container's header, 0 if it does not say; images in an image file


def describe(row: Row) -> FileInfo:
    """Decode the whole file of a manifest row; raises a `DecodeError`."""
    if row.is_frame_folder:
        return _describe_frames(row)
    source = locate(row)
    return _describe_image(source) if is_image(row) else _describe_video(source, Trim(row.start, row.end))


def _describe_video(source: Source, trim: Trim) -> FileInfo:
    damage: Counter[str] = Counter()
    with decode_errors(source.path), open_video(source) as (container, stream):
        crop = container_crop(source, stream)
        stamps, orientations = Stamps(), Orientations()
        looks: list[Look] = []
        shared: dict[Look, Look] = {}  # equal ones once, as a small file may have millions of frames
        for frame in decoded_frames(source, container, stream, damage):
            if not len(stamps):
                check_colors(frame)
            stamps.add(frame)
            look = frame.height, frame.width, orientations.of(frame), frame.duration or 0
            looks.append(shared.setdefault(look, look))
        dated = bool(trim) or not np.isnan(stamps.columns()).all()
        times = frame_times(stamps, container, stream) if dated else np.zeros(len(stamps))
        inside = np.flatnonzero(trim.inside(times, stream)) if trim else np.arange(len(stamps))
        if len(inside) == 0:
            raise no_frames(source, trim)
        height, width, shown, _ = looks[inside[0]]
        height, width = shown.size(height - crop.top - crop.bottom, width - crop.left - crop.right)
        seconds = 0.0
        if dated and stream.time_base is not None:
            seconds = float((times[inside[-1]] - times[inside[0]] + looks[inside[-1]][3]) * stream.time_base)
        return FileInfo(
            frames=len(inside),
            damaged=damage.total(),
            seconds=seconds,
            rate=len(inside) / seconds if len(inside) > 1 and seconds > 0 else None,
            width=width,
            height=height,
            rotation=shown.rotation,
            codec=stream.codec_context.name,
            container=container.format.name,
            announced=stream.frames,
        )


def _describe_frames(row: Row) -> FileInfo:
    """Decode a folder of frames; the first one stands for the format of all."""
    rate = row.frames_per_second or 0
    paths = frame_paths(row.path, rate, Trim(row.start, row.end))
    first, *_ = infos = [_describe_image(source_of(path)) for path in paths]
    announced = len(paths) if row.start is None and row.end is None else 0
    seconds = len(infos) / rate
    return replace(first, frames=len(infos), announced=announced, seconds=seconds, rate=rate, container="folder")


def _describe_image(source: Source) -> FileInfo:
    with loaded(source.path, read_bytes(source)) as image:
        width, height = upright(source.path, image).size
        name = image.format.lower() if image.mode == "RGB" else f"{image.format} {image.mode}".lower()
        rotation = {3: 180, 6: 270, 8: 90}.get(orientation(image), 0)
        return FileInfo(1, 0, 0.0, None, width, height, rotation, name, "image", _image_count(image))


def _image_count(image: Any) -> int:
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # of many kinds, where a later image is damaged; only the first one is ever read
        return 1


@dataclass
class VerifySummary:
    """Counts over the files of a manifest."""

    readable: int = 0
    unreadable: int = 0
    damaged: int = 0
    miscounted: int = 0
    frames: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add_table(self, manifest: Manifest, table: pa.Table) -> None:
        """Count the files of a table of results."""
        names = FileInfo.__dataclass_fields__
        for fields in table.to_pylist():
            result = fields["error"] or FileInfo(**{name: fields[name] for name in names})
            self.add(manifest.row(fields["example_id"]), result)

    def add(self, row: Row, result: FileInfo | str) -> None:
        """Count one file, of which its description or the reason why it cannot be read is known."""
        if isinstance(result, str):
            self.unreadable += 1
            self.reasons[result] += 1
            self.examples.setdefault(result, row.path)
            return
        self.readable += 1
        self.damaged += result.damaged > 0
        whole = row.start is None and row.end is None
        self.miscounted += whole and result.announced not in (0, result.frames)
        self.frames += result.frames
        self.seconds += result.seconds
        self.kinds[f"{result.codec} {result.width}×{result.height}"] += 1

    def lines(self) -> list[str]:
        """The summary as text."""
        total = self.readable + self.unreadable
        hours = self.seconds / 3600
        duration = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
        lines = [
            f"{self.readable} of {total} files can be read: {self.frames} frames, {duration}",
            f"{self.damaged} of these are partly damaged; {self.miscounted} have another number of frames than their "
            "header announces",
            "",
            *markdown_table(("kind", "files"), [(kind, str(n)) for kind, n in self.kinds.most_common(REASONS_SHOWN)]),
        ]
        if self.reasons:
            rows = [(reason, str(n), self.examples[reason]) for reason, n in self.reasons.most_common(REASONS_SHOWN)]
            lines += ["", *markdown_table(("error", "files", "example"), rows)]
        return lines

    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int | float)}
        return counts | {"kinds": dict(self.kinds.most_common()), "reasons": dict(self.reasons.most_common())}
