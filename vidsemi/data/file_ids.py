"""Which file each example of a manifest is, as a key of 128 bits, for any number of examples.

The keys are hashes with random multipliers, so that nobody can choose paths with equal ones.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import compress, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from vidsemi.data.dedup.equal_keys import DistinctKeys
from vidsemi.data.dedup.record_file import Partitions
from vidsemi.data.hashtags.distinct import Distinct, text_bytes
from vidsemi.data.hashtags.text_table import Texts, hash_texts
from vidsemi.data.manifest import Manifest, resolve
from vidsemi.io.store import Place
from vidsemi.runtime.compiled import compiled

MULTIPLIERS = np.frombuffer(os.urandom(3 * 8), np.uint64) | np.uint64(1)
ROW = np.dtype([("key", np.uint64, 2), ("row", np.int64)])
FILE = np.dtype([("key", np.uint64, 2), ("id", np.uint64, 2)])
ENTRIES = 1 << 16  # of a folder that are read at once


def file_ids(manifest: Manifest, parts: int, folder: Path | None, wanted: np.ndarray | None = None) -> Partitions:
    """Identify the file of each example, however its path is spelled; symbolic and hard links count.

    Each folder is listed once, and no file is opened. A file is known by the numbers of its device and inode, as its
    folder lists it, also for links: those of `os.stat` differ from them on some overlay file systems. An address, or a
    file that is missing, is known by its folder and its name.

    Args:
        manifest: the examples.
        parts: to distribute them over by their keys.
        folder: for temporary files, see `Partitions`.
        wanted: the first halves of keys, sorted; leaves out examples whose key certainly has none of them.

    Returns:
        Records of the type `ROW`: the key of a file, and an example.
    """
    with ExitStack() as stack:
        found = stack.enter_context(_Folders(manifest.root, parts, folder, wanted))
        for _, paths in _paths(manifest):
            found.keys(paths)  # the folders are listed before any example is compared with them
        links = stack.enter_context(found.resolved_links())
        rows = stack.enter_context(Partitions(ROW, parts, folder))
        named = None if wanted is None else np.union1d(wanted, np.concatenate([*_firsts(found.files), *_firsts(links)]))
        for first, paths in _paths(manifest):
            own = np.empty(len(paths), ROW)
            own["key"], own["row"] = found.keys(paths), np.arange(first, first + len(paths))
            rows.append(own if named is None else own[are_among(own["key"][:, 0], named)])
        identified = Partitions(ROW, parts, folder)
        for part in range(parts):
            own = rows.read(part)
            files = np.concatenate([found.files.read(part), links.read(part)])
            own["key"] = _replaced(own["key"], files)
            identified.append(own)
        return identified


def _paths(manifest: Manifest) -> Iterator[tuple[int, pa.Array]]:
    """The paths of each batch, after its first example."""
    for first, batch in zip(manifest.batches.starts, manifest.batches, strict=False):
        yield first, batch.column("path")


def _firsts(records: Partitions) -> Iterator[np.ndarray]:
    """The first halves of the keys of all records."""
    return (records.read(part)["key"][:, 0] for part in range(records.count))


def _replaced(keys: np.ndarray, files: np.ndarray) -> np.ndarray:
    """Keys (N, 2), those that are among the keys of files as the ids of these."""
    every = np.concatenate([files["key"], keys])
    first = DistinctKeys(2).add(every, np.arange(len(every)))[len(files) :]
    is_known = first < len(files)
    replaced = keys.copy()
    replaced[is_known] = files["id"][first[is_known]]
    return replaced


class _Folders:
    """Lists the folders of paths. Paths are known by keys of the true folder, without links, and the name in there.

    Attributes:
        files: records of the type `FILE`: such a key, and a device and an inode.
    """

    def __init__(self, root: Place, parts: int, folder: Path | None, wanted: np.ndarray | None):
        self._root, self._folder, self._wanted = root, folder, wanted
        self._prefixes, self._folders = Distinct(), np.empty((0, 2), np.uint64)
        self._listed, self._waiting = DistinctKeys(2), list[bytes]()
        self.files, self._links = Partitions(FILE, parts, folder), Partitions(FILE, parts, folder)

    def __enter__(self) -> "_Folders":
        return self

    def __exit__(self, *error: object) -> None:
        self.files.close()
        self._links.close()

    def keys(self, paths: pa.Array) -> np.ndarray:
        """The keys of paths as the manifest has them, (N, 2) uint64. Folders that are new are listed."""
        data, ends = text_bytes(paths)
        starts, lengths = ends[:-1].astype(np.int64), np.empty(len(paths), np.int32)
        _folder_lengths(data, ends, lengths)
        prefixes = Texts(data, starts, lengths, np.empty(len(paths), np.uint64))
        hash_texts(prefixes, MULTIPLIERS[0])
        numbers = self._prefixes.numbers(prefixes)
        if new := self._prefixes.texts(len(self._folders)).to_pylist():
            self._folders = np.concatenate([self._folders, np.stack([*map(self._prefix_hash, new)])])
        names = np.diff(ends) - lengths
        keys = _joined(self._folders[numbers], _hashed(data, starts + lengths, names))
        for row in np.flatnonzero(_are_dots(data, starts + lengths, names)).tolist():
            if "://" not in (path := resolve(paths[row].as_py(), self._root)):
                keys[row] = self._key_of(os.fsencode(path))
        while self._waiting:
            self._list(self._waiting.pop())
        return keys

    def resolved_links(self) -> Partitions:
        """Records of the type `FILE`: the key of each link, and the device and inode, or else the key, of its file."""
        resolved = Partitions(FILE, self.files.count, self._folder)
        for part in range(self.files.count):
            links = self._links.read(part)
            resolved.append(self._only_wanted(_pairs(links["id"], _replaced(links["key"], self.files.read(part)))))
        return resolved

    def _prefix_hash(self, prefix: str) -> np.ndarray:
        inside = resolve(f"{prefix}x", self._root)
        if "://" in inside:
            return _hashed_text(os.fsencode(inside[:-1]))
        return self._folder_hash(os.fsencode(os.path.realpath(os.path.dirname(inside) or ".")))

    def _key_of(self, path: bytes) -> np.ndarray:
        """The key of a local path, whose links are followed, (2,) uint64."""
        folder, name = os.path.split(os.path.realpath(path))
        return _joined(self._folder_hash(folder), _hashed_text(name))

    def _folder_hash(self, folder: bytes) -> np.ndarray:
        """The hash of a folder without links in its path, (2,) uint64. It is to be listed, unless it was."""
        hashed, count = _hashed_text(folder), len(self._listed.rows)
        if self._listed.add(hashed[None], np.array([count]))[0] == count:
            self._waiting.append(folder)
        return hashed

    def _list(self, folder: bytes) -> None:
        hashed = _hashed_text(folder)
        with suppress(OSError), os.scandir(folder) as entries:  # nothing is in one that cannot be read
            device = os.stat(folder).st_dev
            while block := [*islice(entries, ENTRIES)]:
                is_link = [entry.is_symlink() for entry in block]
                keys = _joined(hashed, _hashed_texts([entry.name for entry in block]))
                linked = [self._key_of(entry.path) for entry in compress(block, is_link)]
                inodes = [0 if link else entry.inode() for entry, link in zip(block, is_link, strict=True)]
                places = np.flatnonzero(is_link)
                self._links.append(_pairs(np.array(linked, np.uint64).reshape(-1, 2), keys[places]))
                ids = np.stack([np.array(inodes, np.uint64), np.full(len(block), device, np.uint64)], 1)
                self.files.append(self._only_wanted(np.delete(_pairs(keys, ids), places)))

    def _only_wanted(self, files: np.ndarray) -> np.ndarray:
        return files if self._wanted is None else files[are_among(files["id"][:, 0], self._wanted)]


def _hashed(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Two hashes of each text, (N, 2) uint64."""
    hashed = np.empty((len(starts), 2), np.uint64)
    for place in range(2):
        texts = Texts(data, starts, lengths, np.empty(len(starts), np.uint64))
        hash_texts(texts, MULTIPLIERS[place])
        hashed[:, place] = texts.hashes
    return hashed


def _hashed_texts(texts: list[bytes]) -> np.ndarray:
    data, ends = text_bytes(pa.array(texts, pa.binary()))
    return _hashed(data, ends[:-1].astype(np.int64), np.diff(ends))


def _hashed_text(text: bytes) -> np.ndarray:
    own: np.ndarray = _hashed_texts([text])[0]
    return own


def _pairs(keys: np.ndarray, ids: np.ndarray) -> np.ndarray:
    pairs = np.empty(len(keys), FILE)
    pairs["key"], pairs["id"] = keys, ids
    return pairs


def are_among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values, (N,) uint64, are among known ones that are sorted; (N,) bool."""
    if not len(known):
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    same: np.ndarray = known[places] == values
    return same


def _joined(folders: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The keys of files from the hashes of their folders and names, each (N, 2)."""
    mixed = (folders ^ (folders >> np.uint64(29))) * MULTIPLIERS[2] + names
    key: np.ndarray = mixed ^ (mixed >> np.uint64(32))
    return key


def _are_dots(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which names are `.`, `..` or empty, (N,) bool."""
    dots = lengths <= 2
    for place in range(2):
        inside = np.flatnonzero(dots & (lengths > place))
        dots[inside] = data[starts[inside] + place] == ord(".")
    return dots


def _folder_lengths(data: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> None:
    """The bytes of each text up to its last slash."""
    for row in range(len(lengths)):
        place = ends[row + 1]
        while place > ends[row] and data[place - 1] != 47:
            place -= 1
        lengths[row] = place - ends[row]


_folder_lengths = compiled(_folder_lengths, nogil=True)
