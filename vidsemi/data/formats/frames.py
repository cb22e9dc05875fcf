"""Folders of frames as videos: class folders of folders of numbered images."""

import os
from pathlib import Path

from vidsemi.data.formats.frame_names import frames_of
from vidsemi.data.formats.media_files import is_utf8, is_video, walk_media
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable


@register_format(
    "frames",
    summary="folders of numbered images, each a video: ROOT/CLASS/…/FOLDER/img_00001.jpg",
    root="required",
    options={
        "--rate": {"type": float, "required": True, "metavar": "FPS", "help": "frames per second"},
        "--unlabeled": {"action": "store_true", "help": "the root has no class folders"},
    },
)
def read_frames(root: Path, *, rate: float, unlabeled: bool = False) -> ScanResult:
    """Read every folder of images below a root as one example, whose class is the name of the folder in the root.

    Of several series of images in a folder, those named like optical flow are skipped. Folders in which the frames
    cannot be told from other images are listed as missing.
    """
    if not 0 < rate <= 1000:
        raise UserError("list.bad_rate", f"--rate is {rate:g}; must be frames per second, more than 0")
    found = walk_media(root, by_class=not unlabeled)
    found.require_media(root)
    folders: dict[Path, list[str]] = {}
    for file in found.files:
        if not is_video(file):
            parent, name = os.path.split(file)
            folders.setdefault(Path(parent), []).append(name)
    scan = ScanResult(missing_what="folders are not frames of one video", unknown=found.unknown)
    videos = sum(map(is_video, found.files))
    if videos:
        scan.warnings.append(f"{videos} video files are left out; the format frames reads folders of images")
    for folder, names in folders.items():
        parts = folder.relative_to(root).parts
        if len(parts) < 1 + (not unlabeled):
            raise UserError(
                "frames.no_class",
                f"{printable(str(folder))} contains images but is not in a class folder; expected "
                f"{root}/<class>/<video>/{printable(names[0])}, or --unlabeled",
            )
        try:
            frames_of(names)
        except ValueError as error:
            scan.missing.append(f"{os.fsencode(folder).decode('utf-8', 'backslashreplace')}: {error}")
            continue
        if not is_utf8(str(folder)):
            scan.missing.append(f"{os.fsencode(folder).decode('utf-8', 'backslashreplace')}: not UTF-8")
            continue
        label = {} if unlabeled else {"label": parts[0]}
        scan.add(path=str(folder), **label, frames_per_second=rate)
    return scan
