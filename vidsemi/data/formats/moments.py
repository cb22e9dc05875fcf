"""Moments in Time: CSV lists of videos in class folders."""

import csv
from pathlib import Path

from vidsemi.data.formats.lists import Media
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.text_rows import read_text_lines
from vidsemi.io.errors import UserError


@register_format(
    "moments",
    summary="the CSV lists of Moments in Time",
    file="trainingSet.csv or validationSet.csv",
    root="required",
)
def read_moments(file: Path, root: Path) -> ScanResult:
    """Read lines `class/video.mp4,label,votes,votes against`, of which the votes may be missing.

    The root is the folder `training` or `validation` of the dataset. Lists of Multi-Moments in Time, `video,3,17,…`,
    are refused: an example has one label.
    """
    scan = ScanResult()
    media = Media(root, scan)
    for number, row in enumerate(csv.reader(read_text_lines(file)), start=1):
        if not row:
            continue
        if len(row) < 2 or row[1].strip().isdecimal() or any(not votes.strip().isdecimal() for votes in row[2:]):
            raise UserError(
                "moments.bad_line",
                f"{file}: line {number} is not a video, one label, and votes; several labels are not supported",
            )
        media.add(media.by_path(row[0].strip()), row[0], number, label=row[1].strip())
    return scan
