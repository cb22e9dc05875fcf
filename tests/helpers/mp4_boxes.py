"""Change the boxes of MP4 files whose `moov` is at their end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

VIDEO_ENTRY = 8 + 8 + 8 + 78  # from `stsd` to the boxes in its first entry


def find(content: bytes, *names: bytes) -> list[int]:
    """Where the first boxes of a path such as `moov`, `trak` begin."""
    places, place = [], 0
    for name in names:
        while content[place + 4 : place + 8] != name:
            place += int.from_bytes(content[place : place + 4], "big")
        places.append(place)
        place += 8
    return places


def replace(content: bytearray, places: Sequence[int], at: int, old: int, new: bytes) -> None:
    """Replace `old` bytes at a place inside the boxes that begin at `places`."""
    content[at : at + old] = new
    for place in places:
        size = int.from_bytes(content[place : place + 4], "big") + len(new) - old
        content[place : place + 4] = size.to_bytes(4, "big")


def set_matrix(file: Path, matrix: Sequence[int]) -> Path:
    """Set the nine numbers of the display matrix of the first track, as they are in the file."""
    content = bytearray(file.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # the fields before the matrix take 40 bytes
    content[place : place + 36] = np.array(matrix).astype(">i4").tobytes()
    file.write_bytes(content)
    return file


def set_edit_list(file: Path, segments: Sequence[tuple[int, int]]) -> Path:
    """Replace the edit list.

    Segments are (duration in ms, first unit of media time counted from the old list's, or -1 for a pause).
    """
    content = bytearray(file.read_bytes())
    *parents, place = find(content, b"moov", b"trak", b"edts", b"elst")
    size = int.from_bytes(content[place : place + 4], "big")
    begin = int.from_bytes(content[place + 20 : place + 24], "big")
    entries = b"".join(
        duration.to_bytes(4, "big")
        + (begin + start if start >= 0 else start).to_bytes(4, "big", signed=True)
        + b"\0\1\0\0"
        for duration, start in segments
    )
    body = b"elst" + bytes(4) + len(segments).to_bytes(4, "big") + entries
    replace(content, parents, place, size, (len(body) + 4).to_bytes(4, "big") + body)
    file.write_bytes(content)
    return file


def add_clean_aperture(file: Path, width: int, height: int, right: int, down: int) -> Path:
    """Show only a box of that size whose center is moved to the right and down, in pixels."""
    content = bytearray(file.read_bytes())
    places = find(content, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    numbers = [part for number in (width, height, right, down) for part in (number, 1)]
    box = (40).to_bytes(4, "big") + b"clap" + np.array(numbers).astype(">i4").tobytes()
    replace(content, [*places, places[-1] + 16], places[-1] + VIDEO_ENTRY, 0, box)
    file.write_bytes(content)
    return file
