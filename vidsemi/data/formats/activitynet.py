"""ActivityNet, and what has its JSON: HACS, Kinetics as JSON. Segments of videos and their classes."""

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
        annotations = _of(video, "annotations") or [{}]
        for annotation in [annotations] if isinstance(annotations, dict) else annotations:
            try:
                start, end = map(float, _of(annotation, "segment") or (0, "inf"))
                label = _of(annotation, "label")
                trim = {"start": start, "end": end} if end < float("inf") else {"start": None, "end": None}
            except (TypeError, ValueError):
                raise UserError(
                    "activitynet.bad_segment", f"{file}: a segment of {printable(name)} is not two times"
                ) from None
            media.add(path, name, number, label=None if label is None else str(label), **trim)
            if path is None:  # listed once
                break
    return scan


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
