"""Folders of videos and images, with or without class folders."""

from collections.abc import Iterator
from pathlib import Path

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import VIDEO_SUFFIXES, ScanResult, is_utf8, media_files
from vidsemi.io.errors import UserError

NOT_UTF8 = "files have names that are not UTF-8"


@register_format("folder", summary="class folders: ROOT/CLASS/…/FILE", root="required")
def read_folder(root: Path) -> ScanResult:
    """Read class folders: root/<class>/…/<file>; names that are not UTF-8 are listed as missing."""
    scan = ScanResult(missing_what=NOT_UTF8)
    for file in _storable(media_files(root), scan):
        parts = file.relative_to(root).parts
        if len(parts) < 2:
            raise UserError("folder.no_class", f"{file} is not in a class folder; expected {root}/<class>/{file.name}")
        scan.add(path=str(file), label=parts[0])
    return scan


@register_format("files", summary="all videos and images in a folder, without labels", root="required")
def read_files(root: Path) -> ScanResult:
    """Read every video and image below a folder, without labels; names that are not UTF-8 are listed as missing."""
    scan = ScanResult(missing_what=NOT_UTF8)
    for file in _storable(media_files(root), scan):
        scan.add(path=str(file))
    return scan


def read_videos(root: Path) -> ScanResult:
    """Like `read_files`, but without the images, which are mostly thumbnails."""
    scan = read_files(root)
    paths = scan.columns.get("path", [])
    scan.columns = {"path": [path for path in paths if Path(path).suffix.lower() in VIDEO_SUFFIXES]}
    if not len(scan):
        raise UserError("folder.no_videos", f"{root} does not contain any videos")
    return scan


def _storable(files: list[Path], scan: ScanResult) -> Iterator[Path]:  # whose names a table can store
    for file in files:
        if is_utf8(str(file)):
            yield file
        else:
            scan.missing.append(str(file).encode("utf-8", "backslashreplace").decode())
