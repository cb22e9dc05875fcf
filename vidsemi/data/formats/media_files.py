"""Find media files: every video and image below a folder, and the one file that an id names."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from vidsemi.data.formats.image_series import series_lengths
from vidsemi.data.formats.path_texts import PathTexts
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

VIDEO_SUFFIXES = {
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"),
    *(".mts", ".m2ts", ".m2t", ".tp", ".trp", ".tod", ".mod", ".lrv", ".insv", ".dv", ".mxf"),  # cameras, broadcasting
    *(".vob", ".wtv", ".rm", ".rmvb", ".ogm", ".divx", ".xvid", ".f4v", ".qt", ".mk3d", ".asf", ".3g2", ".3gpp"),
    *(".mpe", ".mpv", ".m1v", ".m2v", ".mp4v", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".obu"),  # streams
    *(".ivf", ".y4m", ".nut"),
    *(".gif", ".apng"),  # a still one is a video of one frame
}
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jp2", ".j2k", ".avif"),
    # These cannot be read. They are listed all the same, so that they are counted and named as failures.
    *(".heic", ".heif", ".jxl"),
}
MEDIA_SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES
AHEAD = 8  # folders that are listed before their turn


@dataclass
class MediaFolder:
    """What a folder contains; `series` if they are looked for."""

    files: PathTexts = field(default_factory=PathTexts)  # videos and images, sorted folder by folder
    unknown: Counter[str] = field(default_factory=Counter)  # suffix → number of other files
    linked: dict[str, tuple[str, str]] = field(default_factory=dict)  # folder or file → two folders in the root
    series: dict[str, list[int]] = field(default_factory=dict)  # folder → lengths of its series of numbered images

    def require_media(self, root: Path) -> None:
        """Raise a UserError if there are no videos and no images."""
        if not self.files:
            others = f"; its files are {count_suffixes(self.unknown)}" if self.unknown else ""
            raise UserError("folder.no_media", f"{root} does not contain any videos or images{others}")


def count_suffixes(suffixes: Counter[str]) -> str:
    """The most frequent suffixes with their numbers of files.

    >>> count_suffixes(Counter({".txt": 2, "": 1}))
    '.txt (2), without suffix (1)'
    """
    shown = [f"{name or 'without suffix'} ({count})" for name, count in suffixes.most_common(10)]
    return ", ".join(shown) + (", …" if len(suffixes) > 10 else "")


def walk_media(root: Path, *, by_class: bool = False, series: bool = False) -> MediaFolder:
    """List a folder; hidden files and folders are skipped, links followed.

    Datasets are often assembled from links. A link to a folder that contains it is skipped, and of several links to one
    folder only the first is followed: in the whole root, or with `by_class` in each of its class folders, so that a
    file may be listed for two classes, which `linked` names. Threads list the next folders meanwhile, as a disk of a
    server takes its time for each.
    """
    if not root.is_dir():
        raise UserError("folder.missing", f"folder {root} does not exist")
    found = MediaFolder()
    visited: set[tuple[str, str]] = set()  # class folder, real path
    classes: dict[str, str] = {}  # real path of a folder, or of a file that is a link → its first class folder
    executor = ThreadPoolExecutor(AHEAD)
    try:
        start = _Folder(str(root), "", frozenset(), executor.submit(_list, str(root)))
        levels: list[Iterator[str | _Folder]] = [iter([start])]
        while levels:
            item = next(levels[-1], None)
            if item is None:
                levels.pop()
            elif isinstance(item, str):
                found.files.append(item)
            else:
                assert item.listing is not None
                listing = item.listing.result()
                key = (item.name if by_class else "", listing.real)
                if listing.real not in item.above and key not in visited:
                    visited.add(key)
                    items = _items(item, listing, found, classes, series)
                    levels.append(_listed_ahead(executor, item.prefix, items))
                    del items, listing
                item.listing = None
    finally:
        executor.shutdown(cancel_futures=True)
    return found


@dataclass
class _Listing:
    """The entries of a folder."""

    real: str
    names: list[str]  # sorted
    folders: set[str]
    links: set[str]  # but to folders


@dataclass
class _Folder:
    path: str
    name: str  # of the class folder that it is in
    above: frozenset[str]  # real paths of the folders that it is in
    listing: "Future[_Listing] | None" = None

    @property
    def prefix(self) -> str:
        """What precedes the names in the folder."""
        return "" if self.path == "." else self.path.rstrip(os.sep) + os.sep


def _list(folder: str) -> _Listing:
    listing = _Listing(os.path.realpath(folder), [], set(), set())
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                listing.names.append(entry.name)
                if _is_folder(entry):
                    listing.folders.add(entry.name)
                elif entry.is_symlink():
                    listing.links.add(entry.name)
    except OSError as error:
        raise UserError("folder.unreadable", f"{error.filename} cannot be read: {error.strerror}") from None
    listing.names.sort()
    return listing


def _items(
    folder: _Folder, listing: _Listing, found: MediaFolder, classes: dict[str, str], series: bool
) -> list["str | _Folder"]:
    """The names of media files and the folders in a folder, in order; counts its other files and notes its links."""
    items: list[str | _Folder] = []
    above = folder.above | {listing.real}
    links = [listing.real] if folder.name else []
    for name in listing.names:
        if name in listing.folders:
            items.append(_Folder(folder.prefix + name, folder.name or name, above))
        elif (suffix := os.path.splitext(name)[1].lower()) in MEDIA_SUFFIXES:
            items.append(name)
            if folder.name and name in listing.links:
                links.append(os.path.realpath(folder.prefix + name))
        else:
            found.unknown[printable(suffix)] += 1
    for link in links:
        if (first := classes.setdefault(link, folder.name)) != folder.name:
            found.linked.setdefault(link, (first, folder.name))
    if series and (lengths := series_lengths(name for name in items if isinstance(name, str) and not is_video(name))):
        found.series[folder.path] = lengths
    return items


def _listed_ahead(executor: ThreadPoolExecutor, prefix: str, items: list["str | _Folder"]) -> Iterator["str | _Folder"]:
    """The paths of files and the folders, while threads list the next few of the folders."""
    folders = iter([item for item in items if isinstance(item, _Folder)])
    for folder in islice(folders, AHEAD):
        folder.listing = executor.submit(_list, folder.path)
    for item in items:
        yield prefix + item if isinstance(item, str) else item
        if isinstance(item, _Folder) and (later := next(folders, None)) is not None:
            later.listing = executor.submit(_list, later.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def relative_parts(file: str, root: Path) -> list[str]:
    """The names of the folders in a root that a file from `walk_media` is in, and its own."""
    return (file if str(root) == "." else file[len(str(root).rstrip(os.sep)) + 1 :]).split(os.sep)


def media_files(root: Path) -> list[Path]:
    """Every video or image below a folder, sorted by path; see `walk_media`."""
    found = walk_media(root)
    found.require_media(root)
    return [Path(file) for file in found.files]


def is_video(path: str) -> bool:
    """Whether a file is a video by its name."""
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def is_image(path: str) -> bool:
    """Whether a file is an image by its name."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogates, which stand for bytes that are not UTF-8: no table can store those."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


class FilesByStem:
    """The videos and images below some folders, by their file names without suffix.

    If several files share a name, earlier folders take precedence over later ones and, within a folder, videos over
    images. With `frames`, a folder of several images is one entry, under its own name, instead of its images. Files
    whose names are not UTF-8 are skipped, because no table can store them.
    """

    def __init__(self, *folders: Path, frames: bool = False) -> None:
        self._files: dict[str, str] = {}
        self._others: dict[str, str] = {}  # of the same name, in the same folder and of the same kind
        for folder in folders:
            media = media_files(folder)
            self._add(_with_frame_folders(media) if frames else media)

    def _add(self, media: Iterable[Path]) -> None:
        files: dict[str, str] = {}
        others: dict[str, str] = {}
        for file in sorted(media, key=lambda file: not is_video(file.name)):
            path, stem = str(file), file.stem
            if stem in self._files or not is_utf8(path):
                continue
            first = files.setdefault(stem, path)
            same_rank = first != path and stem not in others and is_video(first) == is_video(path)
            if same_rank and os.path.realpath(first) != os.path.realpath(path):
                others[stem] = path
        self._files |= files
        self._others |= others

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def any_of(self, *stems: str) -> str | None:
        """The path of the file that has one of these names; a UserError if several files fit."""
        found = [path for path in map(self.get, stems) if path is not None]
        for other in found[1:]:
            if os.path.realpath(other) != os.path.realpath(found[0]):
                raise self._ambiguous(found[0], other, stems[0])
        return found[0] if found else None

    def get(self, stem: str, default: str | None = None) -> str | None:
        """The path of the file with this name; a UserError if two files fit, of which neither takes precedence."""
        if stem in self._others:
            raise self._ambiguous(self._files[stem], self._others[stem], stem)
        return self._files.get(stem, default)

    def _ambiguous(self, first: str, second: str, stem: str) -> UserError:
        return UserError(
            "scan.ambiguous_name",
            f"both {printable(first)} and {printable(second)} fit the name {printable(stem)}; keep one of them, or "
            "list files by path",
        )


def _with_frame_folders(media: Iterable[Path]) -> list[Path]:
    """The files with every folder of two or more images in place of these."""
    images = Counter(file.parent for file in media if not is_video(file.name))
    folders = {folder for folder, count in images.items() if count > 1}
    return sorted(folders | {file for file in media if is_video(file.name) or file.parent not in folders})
