"""Examples that two manifests share, however they spell the paths: relative or absolute, by links, by other roots."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.manifest import Manifest, Row, resolve

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
    for first, paths in _paths(manifest):
        for example_id, path in enumerate(paths.to_pylist(), start=first):
            own.setdefault(folders.file_id(resolve(path, manifest.root)), []).append(example_id)
    shared = dict(_shared_paths(own, other, folders))
    same: set[int] = set()
    other_part: set[int] = set()
    for first, paths in _paths(other) if shared else ():
        found = np.flatnonzero(
            pc.is_in(paths, value_set=pa.array([*shared], pa.string())).to_numpy(zero_copy_only=False)
        )
        for place in found.tolist():
            part = other.row(first + place)
            for example_id in own[shared[paths[place].as_py()]]:
                our_part = manifest.row(example_id)
                if our_part.member == part.member:
                    (same if _have_seconds_in_common(our_part, part) else other_part).add(example_id)
    return Overlap(sorted(same), sorted(other_part - same))


def _paths(manifest: Manifest) -> Iterator[tuple[int, pa.Array]]:
    """The paths of each batch, after its first example."""
    for first, batch in zip(manifest.batches.starts, manifest.batches, strict=False):
        yield first, batch.column("path")


def _have_seconds_in_common(one: Row, other: Row) -> bool:
    starts = [0.0 if row.start is None else row.start for row in (one, other)]
    ends = [inf if row.end is None else row.end for row in (one, other)]
    return starts[1] < ends[0] and starts[0] < ends[1]


def _shared_paths(
    own: Mapping[FileId, list[int]], other: Manifest, folders: "_Folders"
) -> Iterator[tuple[str, FileId]]:
    """The paths of the other manifest, as it spells them, that may be files of our own."""
    by_name: dict[int | str, list[int | str]] = {}
    for folder, name in own:
        if isinstance(folder, str):
            by_name.setdefault(folder, []).append(name)
    seen: set[str] = set()
    for _, paths in _paths(other):
        prefixes = {*pc.unique(pc.replace_substring_regex(paths, "[^/]*$", "")).to_pylist()}
        for prefix in prefixes - seen:
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
        seen |= prefixes


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
