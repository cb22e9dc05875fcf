"""Frames of a video as numbered images in a folder: which they are, in their order."""

import os
import re
from collections.abc import Iterable

from vidsemi.data.formats.media_files import is_image

NUMBERED = re.compile(r"(.*?)(\d{1,18})(\.\w+)", re.ASCII | re.DOTALL)
NOT_RGB = re.compile(r"(?:opt(?:ical)?_?)?flow.*|[xyuv][-_]?|d[xy][-_]?|depth.*|mask.*|seg.*", re.IGNORECASE)


def runs_of(names: Iterable[str]) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Numbered images by what precedes and follows the number: their numbers and names, sorted."""
    runs: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in names:
        if is_image(name) and (match := NUMBERED.fullmatch(name)):
            runs.setdefault((match[1], match[3].lower()), []).append((int(match[2]), name))
    return {key: sorted(run) for key, run in runs.items()}


def frames_of(names: Iterable[str]) -> list[str]:
    """The frames among the names of files in a folder, in order; a ValueError says why it is not certain which.

    Runs of optical flow and depth (`flow_x_00001.jpg`), as several programs write them beside the frames, are skipped.

    >>> frames_of(["img_10.jpg", "img_9.jpg", "flow_x_9.jpg", "notes.txt"])
    ['img_9.jpg', 'img_10.jpg']
    """
    runs = runs_of(names)
    if len(runs) > 1:
        runs = {key: run for key, run in runs.items() if not NOT_RGB.fullmatch(key[0])} or runs
    if not runs:
        raise ValueError("a folder without numbered images")
    if len(runs) > 1:
        first, second = (run[0][1] for run in list(runs.values())[:2])
        raise ValueError(f"a folder with several series of images, such as {first} and {second}")
    (run,) = runs.values()
    return [name for _, name in run]


def frames_in(folder: str) -> list[str]:
    """The names of the frames in a folder; see `frames_of`. Hidden files are skipped."""
    with os.scandir(folder) as entries:
        return frames_of(entry.name for entry in entries if entry.name[0] != ".")
