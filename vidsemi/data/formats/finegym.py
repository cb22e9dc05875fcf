"""FineGym: Gym99 and Gym288, lists of actions in events of gymnastics videos."""

import re
from pathlib import Path
from typing import Any

from vidsemi.data.formats.lists import Media, read_json, split_lines
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

ACTION = re.compile(r"(?P<video>.+?)_(?P<event>E_\d+_\d+)_(?P<action>A_\d+_\d+)")


@register_format(
    "finegym",
    summary="the lists of Gym99 and Gym288 of FineGym",
    file="gym99_train_element_v1.1.txt, gym288_val_element.txt, …",
    root="required",
    options={
        "--categories": {"type": Path, "metavar": "FILE", "help": "gym99_categories.txt, the names of the classes"},
        "--annotations": {
            "type": Path,
            "metavar": "FILE",
            "help": "finegym_annotation_info_v1.1.json, to cut actions from files of events or whole videos",
        },
    },
)
def read_finegym(
    file: Path, root: Path, *, categories: Path | None = None, annotations: Path | None = None
) -> ScanResult:
    """Read lines `A0xAXXysHUo_E_002184_002237_A_0035_0036 0`: an action of an event of a video, and its class.

    The root has files of actions, named like that; or with the annotations files of events (`<video>_E_…`), in which
    an action begins after its annotated seconds, or whole videos (`<video>`), to which the event's begin is added.
    """
    scan = ScanResult()
    media = Media(root, scan)
    names = {} if categories is None else _categories(categories)
    times = None if annotations is None else read_json(annotations)
    for number, (name, label) in split_lines(file, None, 2):
        match = ACTION.fullmatch(name)
        if match is None or (names and label not in names):
            raise UserError(
                "finegym.bad_line", f"{file}: line {number} is not an action and a class: {printable(name)}"
            )
        path, start, end = media.by_id(name), None, None
        if path is None and times is not None:
            begin, start, end = _seconds(times, match)
            path = media.by_id(f"{match['video']}_{match['event']}")
            if path is None and (path := media.by_id(match["video"], f"v_{match['video']}")):
                start, end = start + begin, end + begin
        media.add(path, name, number, label=names.get(label, label), start=start, end=end)
    return scan


def _categories(file: Path) -> dict[str, str]:
    """Number → name, by lines `Clabel: 0; set: 1; Glabel: 1; (VT) round-off, …`."""
    names = {}
    for number, line in enumerate(read_text_lines(file), start=1):
        match = re.fullmatch(r"Clabel:\s*(\d+);\s*set:\s*\d+;\s*Glabel:\s*\d+;\s*(.*\S)\s*", line)
        if match is None and line.strip():
            raise UserError("finegym.bad_category", f"{file}: line {number} is not a class: {printable(line)}")
        if match is not None:
            names[match[1]] = match[2]
    return names


def _seconds(times: Any, action: re.Match[str]) -> tuple[float, float, float]:
    """When an event begins in its video, and when an action begins and ends in the event."""
    try:
        event = times[action["video"]][action["event"]]
        stamps = event["segments"][action["action"]]["timestamps"]
        return float(event["timestamps"][0][0]), float(stamps[0][0]), float(stamps[-1][1])
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError("finegym.no_time", f"the annotations have no times of {printable(action[0])}") from None
