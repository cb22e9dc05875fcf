"""Folders of videos and images, with or without class folders."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vidsemi.data.formats.media_files import MediaFolder, is_utf8, is_video, relative_parts, walk_media
from vidsemi.data.formats.path_texts import PathTexts
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    import pyarrow as pa

NOT_UTF8 = "files have names that are not UTF-8"
SPLIT = re.compile(  # kinetics_train_256, Validation, test-set
    r"(?:\w+[-_. ])?(?:(train)(?:ing|val)?|(val)(?:id|idation)?|(dev|eval)|(test)(?:ing)?)"
    r"(?:[-_. ]?(?:\d+|set|split|data|videos|clips|images|frames))*"
)
FRAMES_OF_CLASS = 8  # fewest numbered images in a class folder that may be frames
BLOCK = 1 << 16  # files that become a table at once


@dataclass
class FolderScan(ScanResult):
    """Files of a folder; those whose names are not UTF-8 are missing, as no table can store them."""

    files: PathTexts = field(default_factory=PathTexts)
    root: Path = Path()
    labeled: bool = False  # by their class folders

    def __post_init__(self) -> None:
        """List the files that are missing, and those that are in no class folder."""
        self.missing_what = NOT_UTF8
        for file in self.files:
            if not is_utf8(file):
                self.missing.append(file.encode("utf-8", "backslashreplace").decode())
            elif self.labeled and len(parts := relative_parts(file, self.root)) < 2:
                root = self.root
                raise UserError(
                    "folder.no_class", f"{file} is not in a class folder; expected {root}/<class>/{parts[-1]}"
                )

    def __len__(self) -> int:
        return len(self.files) - len(self.missing)

    def blocks(self) -> "Iterator[tuple[pa.Table, Sequence[int]]]":
        """The examples as tables of columns of a manifest."""
        import pyarrow as pa

        for columns in self._columns():
            yield pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), ()

    def loaded(self) -> ScanResult:
        """The same with all examples in memory."""
        scan = ScanResult(
            missing=self.missing, missing_what=self.missing_what, unknown=self.unknown, warnings=self.warnings
        )
        for columns in self._columns():
            for name, values in columns.items():
                scan.columns.setdefault(name, []).extend(values)
        return scan

    def _columns(self) -> Iterator[dict[str, list[str]]]:
        paths: list[str] = []
        for block in self.files.blocks():
            paths += [file for file in block if is_utf8(file)] if self.missing else block
            if len(paths) >= BLOCK:
                yield self._columns_of(paths)
                paths = []
        yield self._columns_of(paths)

    def _columns_of(self, paths: list[str]) -> dict[str, list[str]]:
        labels = {"label": [relative_parts(path, self.root)[0] for path in paths]} if self.labeled else {}
        return {"path": paths, **labels}


@register_format("folder", summary="class folders: ROOT/CLASS/…/FILE", root="required")
def scan_class_folders(root: Path) -> FolderScan:
    """Find the files of class folders (see `read_folder`), and warn of folders that are probably not classes."""
    found = walk_media(root, by_class=True, series=True)
    found.require_media(root)
    scan = FolderScan(files=found.files, unknown=found.unknown, root=root, labeled=True)
    scan.warnings = [*_splits(root, found), *_frames(root, found), *_links(found)]
    return scan


def read_class_folders(root: Path) -> ScanResult:
    """Like `scan_class_folders`, in memory."""
    return scan_class_folders(root).loaded()


def read_folder(root: Path) -> ScanResult:
    """Read class folders: root/<class>/…/<file>; names that are not UTF-8 are listed as missing."""
    found = walk_media(root, by_class=True)
    found.require_media(root)
    return FolderScan(files=found.files, unknown=found.unknown, root=root, labeled=True).loaded()


@register_format("files", summary="all videos and images in a folder, without labels", root="required")
def scan_files(root: Path) -> FolderScan:
    """Find every video and image below a folder, without labels; names that are not UTF-8 are listed as missing."""
    found = walk_media(root, series=True)
    found.require_media(root)
    return FolderScan(files=found.files, unknown=found.unknown, root=root, warnings=_frames(root, found))


def read_files(root: Path) -> ScanResult:
    """Like `scan_files`, in memory."""
    return scan_files(root).loaded()


def read_videos(root: Path) -> ScanResult:
    """Like `read_files`, but without the images, which are mostly thumbnails."""
    scan = read_files(root)
    scan.warnings = []
    scan.columns = {"path": [path for path in scan.columns.get("path", []) if is_video(path)]}
    if not len(scan):
        raise UserError("folder.no_videos", f"{root} does not contain any videos")
    return scan


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
    folders: dict[str, int] = {}
    for folder, lengths in found.series.items():
        fewest = FRAMES_OF_CLASS if Path(folder).parent == root else 0
        if long := [length for length in lengths if length >= fewest]:
            folders[folder] = long[0]
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
