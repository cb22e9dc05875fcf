"""ActivityNet, and what has its JSON: HACS, Kinetics as JSON. Segments of videos and their classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidsemi.data.formats.lists import Media, read_json
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable


@register_format(
    "activitynet",
    summary="JSON annotations as of ActivityNet",
    file="activity_net.v1-3.min.json",
    root="required",
    options={"--subset": {"help": "training, validation or testing; by default all videos"}},
)
def read_activitynet(file: Path, root: Path, *, subset: str | None = None) -> ScanResult:
    """Read {"database": {"<id>": {"subset": …, "annotations": [{"segment": [0, 7.5], "label": …}]}}}.

    Each segment is an example; a video without annotations is one without a label. Files are named `v_<id>.*` or
    `<id>.*`. A JSON without `database`, whose keys are the ids themselves, is read as well.
    """
    document = read_json(file)
    videos = document.get("database", document) if isinstance(document, dict) else None
    if not isinstance(videos, dict):
        raise UserError("activitynet.no_videos", f"{file} is not a JSON object of videos")
    if subset is not None and subset not in (known := sorted({str(_of(video, "subset")) for video in videos.values()})):
        raise UserError("activitynet.unknown_subset", f"--subset is {subset}; {file} has {', '.join(known)}")
    scan = ScanResult()
    media = Media(root, scan)
    for number, (name, video) in enumerate(videos.items(), start=1):
        if subset is not None and _of(video, "subset") != subset:
            continue
        path = media.by_id(name, f"v_{name}")
        if path is None:
            scan.missing.append(name)
            continue
        for label, start, end in _segments(_of(video, "annotations"), f"{file}: {printable(name)}"):
            if start is None or end is None or start < end:
                media.add(path, name, number, label=label, start=start, end=end)
            else:
                scan.broken.append((number, "has a segment that ends before it begins"))
    return scan


def _segments(annotations: Any, where: str) -> Iterator[tuple[str | None, float | None, float | None]]:
    """Label, start and end of each annotation; one without any of these if there are none."""
    if isinstance(annotations, dict):
        annotations = [annotations]
    if annotations is not None and not isinstance(annotations, list):
        raise UserError("activitynet.bad_segment", f"{where}: the annotations are not a list")
    for annotation in annotations or [{}]:
        label, segment = _of(annotation, "label"), _of(annotation, "segment")
        try:
            start, end = (None, None) if segment is None else map(float, segment)
        except (TypeError, ValueError):
            raise UserError("activitynet.bad_segment", f"{where}: a segment is not two times") from None
        yield None if label is None else str(label), start, end


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
