"""Examples that two manifests share, however they spell the paths: relative or absolute, by links, by other roots."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.manifest import Manifest, resolve

FileId = tuple[int | str, int | str]  # device and inode number; of an address or a missing file its folder and name


@dataclass(frozen=True)
class Overlap:
    """Examples of one manifest that another one has, too: ids in the first, ascending."""

    same: list[int]  # the same file or member of a tar, and the same seconds of it or some of them
    other_part: list[int]  # only other seconds of the same file


def overlap(manifest: Manifest, other: Manifest) -> Overlap:
    """Find the examples of a manifest that are in another one, which may be much larger.

    The folders of the other one are listed once each and its files are not opened; symbolic and hard links count.
    """
    folders = _Folders()
    own: dict[FileId, list[int]] = {}
    for example_id, path in enumerate(manifest.table.column("path").to_pylist()):
        own.setdefault(folders.file_id(resolve(path, manifest.root)), []).append(example_id)
    shared = dict(_shared_paths(own, other, folders))
    paths = other.table.column("path")
    same: set[int] = set()
    other_part: set[int] = set()
    for row in np.flatnonzero(pc.is_in(paths, value_set=pa.array([*shared], pa.string())).to_numpy()).tolist():
        member, start, end = _part(other, row)
        for example_id in own[shared[paths[row].as_py()]]:
            our_member, our_start, our_end = _part(manifest, example_id)
            if our_member == member:
                (same if start < our_end and our_start < end else other_part).add(example_id)
    return Overlap(sorted(same), sorted(other_part - same))


def _part(manifest: Manifest, row: int) -> tuple[str | None, float, float]:
    """The member of a tar, the start and the end of an example."""
    member, start, end = (
        manifest.table.column(name)[row].as_py() if name in manifest.table.column_names else None
        for name in ("member", "start", "end")
    )
    return member, 0.0 if start is None else start, inf if end is None else end


def _shared_paths(
    own: Mapping[FileId, list[int]], other: Manifest, folders: "_Folders"
) -> Iterator[tuple[str, FileId]]:
    """The paths of the other manifest, as it spells them, that may be files of our own."""
    by_name: dict[int | str, list[int | str]] = {}
    for folder, name in own:
        if isinstance(folder, str):
            by_name.setdefault(folder, []).append(name)
    for prefix in pc.unique(pc.replace_substring_regex(other.table.column("path"), "[^/]*$", "")).to_pylist():
        folder = resolve(prefix, other.root)
        if "://" not in folder:
            listed = folders.list(folder)
            for name in listed.links:
                if (linked := folders.file_id(os.path.join(folder, name))) in own:
                    yield prefix + name, linked
            for name, inode in listed.inodes.items():
                if (listed.device, inode) in own:
                    yield prefix + name, (listed.device, inode)
            folder = os.path.realpath(folder)
        for name in by_name.get(folder, ()):
            yield f"{prefix}{name}", (folder, name)


@dataclass(frozen=True)
class _Folder:
    device: int
    inodes: dict[str, int]  # by file name
    links: list[str]


class _Folders:
    """The content of folders; each is listed once.

    Inode numbers are those of the listing, also for links: those of `os.stat` differ from them on some overlay file
    systems.
    """

    def __init__(self) -> None:
        self._listed: dict[str, _Folder] = {}

    def file_id(self, path: str) -> FileId:
        """Identify a file, following links."""
        if "://" in path:
            folder, slash, name = path.rpartition("/")
            return folder + slash, name
        folder, name = os.path.split(os.path.realpath(path))
        listed = self._listed.get(folder) or self._listed.setdefault(folder, self.list(folder))
        return (listed.device, listed.inodes[name]) if name in listed.inodes else (folder, name)

    def list(self, folder: str) -> _Folder:
        """List a folder; nothing is in one that cannot be read."""
        listed = _Folder(0, {}, [])
        with suppress(OSError), os.scandir(folder or ".") as entries:
            listed = _Folder(os.stat(folder or ".").st_dev, {}, [])
            for entry in entries:
                if entry.is_symlink():
                    listed.links.append(entry.name)
                else:
                    listed.inodes[entry.name] = entry.inode()
        return listed
