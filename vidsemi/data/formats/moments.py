"""Moments in Time: CSV lists of videos in class folders."""

from pathlib import Path

from vidsemi.data.formats.lists import Media, csv_rows
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
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
    for number, row in csv_rows(file):
        if len(row) < 2 or row[1].isdecimal() or not all(map(str.isdecimal, row[2:])):
            raise UserError(
                "moments.bad_line",
                f"{file}: line {number} is not a video, one label, and votes; several labels are not supported",
            )
        media.add(media.by_path(row[0]), row[0], number, label=row[1])
    return scan
