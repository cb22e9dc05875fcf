"""Folders of videos and images, with or without class folders."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from vidsemi.data.formats.media_files import MediaFolder, is_utf8, is_video, relative_parts, walk_media
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

NOT_UTF8 = "files have names that are not UTF-8"
SPLIT = re.compile(  # kinetics_train_256, Validation, test-set
    r"(?:\w+[-_. ])?(?:(train)(?:ing|val)?|(val)(?:id|idation)?|(dev|eval)|(test)(?:ing)?)"
    r"(?:[-_. ]?(?:\d+|set|split|data|videos|clips|images|frames))*"
)
FRAMES, FRAMES_OF_CLASS = 3, 8  # fewest numbered images that may be frames: in a deeper folder, in a class folder


@register_format("folder", summary="class folders: ROOT/CLASS/…/FILE", root="required")
def read_class_folders(root: Path) -> ScanResult:
    """Read class folders (see `read_folder`), and warn of folders that are probably not classes."""
    found = walk_media(root, by_class=True)
    scan = _labeled(root, found)
    scan.warnings = [*_splits(root, found), *_frames(root, found), *_links(found)]
    return scan


def read_folder(root: Path) -> ScanResult:
    """Read class folders: root/<class>/…/<file>; names that are not UTF-8 are listed as missing."""
    return _labeled(root, walk_media(root, by_class=True))


def _labeled(root: Path, found: MediaFolder) -> ScanResult:
    found.require_media(root)
    scan = ScanResult(missing_what=NOT_UTF8, unknown=found.unknown)
    for file in _storable(found.files, scan):
        parts = relative_parts(file, root)
        if len(parts) < 2:
            raise UserError("folder.no_class", f"{file} is not in a class folder; expected {root}/<class>/{parts[-1]}")
        scan.add(path=file, label=parts[0])
    return scan


@register_format("files", summary="all videos and images in a folder, without labels", root="required")
def read_files(root: Path) -> ScanResult:
    """Read every video and image below a folder, without labels; names that are not UTF-8 are listed as missing."""
    found = walk_media(root)
    found.require_media(root)
    scan = ScanResult(missing_what=NOT_UTF8, unknown=found.unknown, warnings=_frames(root, found))
    for file in _storable(found.files, scan):
        scan.add(path=file)
    return scan


def read_videos(root: Path) -> ScanResult:
    """Like `read_files`, but without the images, which are mostly thumbnails."""
    scan = read_files(root)
    scan.warnings = []
    scan.columns = {"path": [path for path in scan.columns.get("path", []) if is_video(path)]}
    if not len(scan):
        raise UserError("folder.no_videos", f"{root} does not contain any videos")
    return scan


def _storable(files: list[str], scan: ScanResult) -> Iterator[str]:  # whose names a table can store
    for file in files:
        if is_utf8(file):
            yield file
        else:
            scan.missing.append(file.encode("utf-8", "backslashreplace").decode())


def _splits(root: Path, found: MediaFolder) -> list[str]:
    """A warning if classes are named like the parts of a dataset: the root is one folder too high.

    A class of trains is one of many, and its images are in its folder.
    """
    nested: dict[str, bool] = {}  # class → whether all its files are in folders of their own
    for file in found.files:
        name, *rest = relative_parts(file, root)
        nested[name] = nested.get(name, True) and len(rest) > 1
    splits = {name: match.lastindex for name in sorted(nested) if (match := SPLIT.fullmatch(name.lower()))}
    certain = len(set(splits.values())) > 1 or len(nested) < 3 or any(nested[name] for name in splits)
    if not (splits and certain):
        return []
    names = ", ".join(map(printable, splits))
    return [f"{names} became classes, but are named like the parts of a dataset; give each as a --root of its own"]


def _frames(root: Path, found: MediaFolder) -> list[str]:
    """A warning about folders of images whose names differ in a running number."""
    runs: dict[tuple[str, str], list[int]] = {}
    for file in found.files:
        folder, name = os.path.split(file)
        stem = os.path.splitext(name)[0]
        if not is_video(name) and (match := re.fullmatch(r"(.*?)(\d{1,18})", stem, re.ASCII | re.DOTALL)):
            runs.setdefault((folder, match[1]), []).append(int(match[2]))
    folders: dict[str, int] = {}
    for (folder, _), numbers in runs.items():
        numbers = sorted(set(numbers))
        steps = Counter(after - before for before, after in pairwise(numbers))
        fewest = FRAMES_OF_CLASS if Path(folder).parent == root else FRAMES
        if len(numbers) >= fewest and max(steps.values()) >= 0.9 * sum(steps.values()):
            folders.setdefault(folder, len(numbers))
    if not folders:
        return []
    folder, count = next(iter(folders.items()))
    return [
        f"{len(folders)} folders hold numbered images, such as the {count} in {printable(folder or '.')}, and each "
        "image is an example; if they are the frames of videos, use `vidsemi manifest frames`"
    ]


def _links(found: MediaFolder) -> list[str]:
    """A warning about files of two classes."""
    if not found.linked:
        return []
    real, (first, second) = next(iter(found.linked.items()))
    return [
        f"{len(found.linked)} folders or files are in two classes by links, such as {printable(real)} in "
        f"'{printable(first)}' and '{printable(second)}'"
    ]
