"""WebDataset tars, as video2dataset and img2dataset write them: an index of what lies where, made once.

Members whose paths are the same up to the first dot of the file name are one sample: `000000017.mp4`, `000000017.json`,
`000000017.cls`. Only headers and the small `.cls` members are read.
"""

import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

from vidsemi.data.formats.readers import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidsemi.data.manifest import Row
from vidsemi.io.errors import UserError

LABEL = ".cls"
LABEL_BYTES = 1000  # a longer one is no class
COLUMN_NAMES = ("path", "label", "member", "offset", "size")


@dataclass
class Index:
    """What a tar holds.

    Attributes:
        columns: an example each, in the order of the tar.
        left_out: images beside a video of the same sample, members that are no plain files, or whose name comes again.
        error: why the tar could not be read, or not to its end.
    """

    columns: dict[str, list] = field(default_factory=lambda: {name: [] for name in COLUMN_NAMES})
    left_out: int = 0
    error: str | None = None


def find_tars(patterns: Iterable[str]) -> list[Path]:
    """The tars that patterns name, in the order of the patterns.

    Args:
        patterns: names of tars or folders; `{000000..000099}`, `{a,b}`, `*`, `?` and `[…]` stand for several.

    Raises:
        UserError: one of them names nothing, a command or an address.
    """
    from braceexpand import braceexpand

    found: list[Path] = []
    for pattern in patterns:
        if "://" in pattern or pattern.startswith("pipe:"):
            raise UserError(f"{pattern}: a tar is indexed where its bytes are; give the path of a local copy")
        try:
            names = iter([pattern]) if os.path.exists(pattern) else braceexpand(pattern)
        except ValueError:
            raise UserError(f"{pattern}: a brace is not closed") from None
        for name in names:
            files = [name] if os.path.exists(name) else sorted(glob(name, recursive=True))
            if not files:
                raise UserError(f"there is no tar {name}" + (f" (from {pattern})" if name != pattern else ""))
            for file in files:
                found += sorted(Path(file).glob("*.tar")) if os.path.isdir(file) else [Path(file)]
    if not found:
        raise UserError(f"there is no .tar in {' '.join(patterns)}")
    return list(dict.fromkeys(found))


def index_tar(tar: Row) -> Index:
    """List the videos and images of the tar at a row's path."""
    index = Index()
    samples: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(tar.path, "r:") as opened:
            for member in opened:
                _add(opened, member, samples, index)
            index.error = _ending(tar.path, opened.offset)
    except tarfile.ReadError as error:
        index.error = str(error) if samples else f"is no uncompressed tar ({error})"
    except (OSError, ValueError) as error:
        index.error = str(error)
    for sample in samples.values():
        label = sample.pop(LABEL, None)
        suffixes = [suffix for suffix in sample if _kind(suffix) in VIDEO_SUFFIXES] or list(sample)
        index.left_out += len(sample) - len(suffixes)
        for suffix in suffixes:
            member = sample[suffix]
            name = member.name.encode("utf-8", "replace").decode()  # it is a name only, whatever its bytes
            values = (tar.path, label, name, member.offset_data, member.size)
            for column, value in zip(COLUMN_NAMES, values, strict=True):
                index.columns[column].append(value)
    return index


def _ending(path: str, place: int) -> str | None:
    """What is wrong with the end of a tar, which is where `tarfile` stops, whatever it meets; None if nothing is.

    Two blocks of zeros end a tar, and nothing but zeros follows.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(place)
        if not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(1 << 20), b"")):
            return None if size - place >= 2 * tarfile.BLOCKSIZE else f"is cut off at byte {size}, without an end mark"
    return f"no member begins at byte {place} of {size}, where one should: what follows cannot be found"


def _kind(suffixes: str) -> str:
    return Path("x" + suffixes).suffix.lower()


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, samples: dict[str, dict[str, Any]], index: Index) -> None:
    """Put a member to its sample, if it is a video, an image or a label."""
    folder, name = os.path.split(member.name)
    key, dot, suffix = name.partition(".")
    kind = _kind(dot + suffix)
    if not key or kind not in VIDEO_SUFFIXES | IMAGE_SUFFIXES | {LABEL}:
        return
    if not member.isreg() or member.issparse():
        index.left_out += 1
        return
    sample = samples.setdefault(os.path.join(folder, key), {})
    if kind != LABEL:
        index.left_out += dot + suffix in sample  # the last of a name counts, as when a tar is unpacked
        sample[dot + suffix] = member
    elif member.size <= LABEL_BYTES and (content := tar.extractfile(member)) is not None:
        sample[LABEL] = content.read().decode("utf-8", "replace").strip() or None
