"""Jester and Something-Something v1: lines `id;label`, and a folder of frames for each id."""

from pathlib import Path

from vidsemi.data.formats.lists import Media, split_lines
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult

RATE = 12.0  # frames per second, of both


@register_format(
    "jester",
    summary="the CSV files of Jester and Something-Something v1: id;label",
    file="jester-v1-train.csv, something-something-v1-validation.csv, …",
    root="required",
    options={"--rate": {"type": float, "default": RATE, "metavar": "FPS", "help": "of the frames (default: 12)"}},
)
def read_jester(file: Path, root: Path, *, rate: float = RATE) -> ScanResult:
    """Read lines `34870;Drumming Fingers`; the root has folders of frames, or videos, named by the ids.

    Test lists have no labels.
    """
    scan = ScanResult()
    media = Media(root, scan, rate)
    for number, (line,) in split_lines(file, ";", 1):
        name, _, label = line.partition(";")
        media.add(media.by_id(name.strip()), name, number, label=label.strip() or None)
    return scan
