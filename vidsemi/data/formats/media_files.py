"""Find the videos and images in a folder, by their suffixes."""

import os
from pathlib import Path

from vidsemi.io.errors import UserError

VIDEO_SUFFIXES = {
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"),
    *(".gif", ".apng"),  # a still one is a video of one frame
}
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jp2", ".j2k", ".avif"),
    # These cannot be read. They are listed all the same, so that they are counted and named as failures.
    *(".heic", ".heif", ".jxl"),
}


def media_files(root: Path) -> list[Path]:
    """Every video or image below a folder, sorted by path; hidden files and folders are skipped, links followed."""
    if not root.is_dir():
        raise UserError("folder.missing", f"folder {root} does not exist")
    media: list[Path] = []
    visited: set[str] = set()  # datasets are often assembled from links, which can form a cycle
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        if os.path.realpath(folder) in visited:
            folders.clear()
            continue
        visited.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
        media += [Path(folder, name) for name in files if Path(name).suffix.lower() in suffixes and name[0] != "."]
    if not media:
        raise UserError("folder.no_media", f"{root} does not contain any videos or images")
    return sorted(media)


def _raise(error: OSError) -> None:
    raise UserError("folder.unreadable", f"{error.filename} cannot be read: {error.strerror}")


def files_by_stem(*folders: Path) -> dict[str, str]:
    """Every video and image below the folders, by its file name without suffix.

    If several files share a name, earlier folders take precedence over later ones and, within a folder, videos over
    images. Files whose names are not UTF-8 are skipped, because no table can store them.
    """
    return {
        path.stem: str(path)
        for folder in reversed(folders)
        for path in sorted(media_files(folder), key=lambda path: path.suffix.lower() in VIDEO_SUFFIXES)
        if is_utf8(str(path))
    }


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogates, which stand for bytes that are not UTF-8: no table can store those."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
