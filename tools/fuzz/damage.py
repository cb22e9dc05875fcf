"""Ways to damage a file, drawn at random: as disks, transfers and attackers do."""

from collections.abc import Callable

import numpy as np

Content = bytearray
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damage(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy of a file; `other` is another good file, of which parts may get in."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        kind = WAYS[int(rng.integers(len(WAYS)))]
        damaged = kind(damaged, other, rng) or bytearray(1)
    return bytes(damaged)


def _place(content: Content, rng: np.random.Generator) -> int:
    """A random place; one time in two near the beginning or the end, where containers have their headers."""
    size = len(content)
    near = min(size, 1 << int(rng.integers(4, 12)))
    low, high = [(0, size), (0, size), (0, near), (size - near, size)][int(rng.integers(4))]
    return int(rng.integers(low, high))


def _block(content: Content, rng: np.random.Generator) -> slice:
    begin = _place(content, rng)
    return slice(begin, begin + int(rng.integers(1, 1 << int(rng.integers(1, 13)))))


def _bytes(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    for _ in range(int(rng.integers(1, 20))):
        content[_place(content, rng)] = int(rng.integers(256))
    return content


def _bits(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    for _ in range(int(rng.integers(1, 4))):
        content[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return content


def _number(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    """Replace one to eight bytes by a number at the edge of its type."""
    begin, width = _place(content, rng), 1 << int(rng.integers(4))
    value = EXTREMES[int(rng.integers(len(EXTREMES)))] % 256**width
    content[begin : begin + width] = value.to_bytes(width, "big" if rng.random() < 0.6 else "little")
    return content


def _cut(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    return content[: int(rng.integers(1, len(content) + 1))]


def _drop(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    del content[_block(content, rng)]
    return content


def _repeat(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    block, place = content[_block(content, rng)], _place(content, rng)
    content[place:place] = block * int(rng.integers(1, 4))
    return content


def _erase(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    block = _block(content, rng)
    content[block] = bytes([int(rng.choice([0, 255]))]) * len(content[block])
    return content


def _splice(content: Content, other: bytes, rng: np.random.Generator) -> Content:
    """Continue with the other file, or put a part of it in."""
    taken = bytearray(other)
    if rng.random() < 0.5:
        return content[: _place(content, rng)] + taken[_place(taken, rng) :]
    content[_block(content, rng)] = taken[_block(taken, rng)]
    return content


WAYS: tuple[Callable[[Content, bytes, np.random.Generator], Content], ...]
WAYS = (_bytes, _bytes, _bits, _number, _number, _cut, _drop, _repeat, _erase, _splice)
