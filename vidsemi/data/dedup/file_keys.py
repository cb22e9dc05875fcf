"""Keys of examples: hashes of all that the hashes of a file depend on, such as its path, size and time."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.dedup.frame_hashes import METHOD
from vidsemi.data.dedup.hash_job import KEY_BYTES
from vidsemi.data.formats.media_files import IMAGE_SUFFIXES
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.read import is_image
from vidsemi.io.download import is_address

ROWS = 1 << 16  # at once
PART = ("member", "offset", "size", "start", "end")  # of a file
RATE = "frames_per_second"  # of a folder of frames, whose key has it
PLAIN = r"^[ !#-\[\]-~]+$"  # texts that JSON writes as they are
CHANGED = r"(^|/)\.{1,2}(/|$)|/(/|$)|:"  # paths that `os.path.abspath` may change, and addresses
IMAGE = rf"(?i)[^/]\.({'|'.join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))})$"  # as `is_image` decides


def file_keys(manifest: Manifest, examples: range) -> tuple[np.ndarray, np.ndarray]:
    """The keys of some examples, (N, 2) uint64, and which of these are images, (N,) bool."""
    _state.cache_clear()
    keys, are_images = np.empty((len(examples), KEY_BYTES // 8), np.uint64), np.empty(len(examples), np.bool_)
    for first in range(0, len(examples), ROWS):
        rows = examples[first : first + ROWS]
        own_keys, own_images = keys[first : first + ROWS], are_images[first : first + ROWS]
        plain, own_images[:], texts = _plain_rows(manifest, rows)
        own_keys[plain] = np.frombuffer(b"".join(map(_digest, texts)), np.uint64).reshape(-1, keys.shape[1])
        for place in np.flatnonzero(~plain).tolist():
            row = manifest.row(rows[place])
            own_images[place] = is_image(row)
            own_keys[place] = np.frombuffer(_key(row), np.uint64)
    return keys, are_images


def _plain_rows(manifest: Manifest, rows: range) -> tuple[np.ndarray, np.ndarray, Iterator[str]]:
    """Which rows need no rule, which of these are images, and what their keys are hashes of.

    `Manifest.row` and `json.dumps` take 20 µs a row; these texts, with the state of the file and the hash, 4.
    """
    folder = os.path.join(os.path.abspath(manifest.root), "") if isinstance(manifest.root, Path) else ""
    if type(manifest) is not Manifest or json.dumps(folder) != f'"{folder}"' or not folder:
        return np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_), iter(())
    table = manifest.batches.slice(rows).select([name for name in manifest.columns if name in ("path", *PART, RATE)])
    path = table["path"]
    plain = pc.and_not(_matches(path, PLAIN), _matches(path, CHANGED))
    names = path
    if "member" in table.column_names:
        plain = pc.and_(plain, pc.or_(pc.is_null(table["member"]), _matches(table["member"], PLAIN)))
        names = pc.coalesce(table["member"], path)
    if RATE in table.column_names:
        plain = pc.and_(plain, pc.is_null(table[RATE]))
    images = pc.and_(_matches(names, IMAGE), plain).to_numpy()
    return plain.to_numpy(), images, _texts(table.filter(plain), folder)


def _matches(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.fill_null(pc.match_substring_regex(texts, pattern), False)


def _texts(table: pa.Table, folder: str) -> Iterator[str]:
    """What `_key` hashes, of rows whose texts JSON writes as they are."""
    begin = f"[{json.dumps(METHOD)}, "
    parts: Iterator[str]
    columns = [table[name] if name in table.column_names else pa.nulls(len(table)) for name in PART]
    if all(column.null_count == len(table) for column in columns):
        whole = ", ".join(["null"] * len(PART))
        parts = (whole for _ in range(len(table)))
    else:
        values = zip(*(column.to_pylist() for column in columns), strict=True)
        parts = (json.dumps(part)[1:-1] for part in values)
    paths = pc.if_else(pc.starts_with(table["path"], "/"), "", folder)
    paths = pc.binary_join_element_wise(paths, table["path"], "").to_pylist()
    # Only the members of a tar share a file: for others the cache is of no use.
    state = _state if "member" in table.column_names else _state.__wrapped__
    for path, part in zip(paths, parts, strict=True):
        size, time = state(path)
        yield f'{begin}"{path}", {part}, {size}, {time}]'


def _key(row: Row) -> bytes:
    path = row.path if is_address(row.path) else os.path.abspath(row.path)
    what = [METHOD, path, *(getattr(row, name) for name in PART), *_state(path)]
    what += [row.frames_per_second] if row.is_frame_folder else []
    return _digest(json.dumps(what))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


@lru_cache(maxsize=1000)  # a tar has thousands of members
def _state(path: str) -> tuple[int, int]:
    """Size and modification time of a file; content at an address is assumed not to change."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return state.st_size, state.st_mtime_ns
