"""Measure the recall of near-duplicate search on real files; prints the tables of docs/guides/duplicates.md.

python docs/measure_duplicates.py --data FOLDER

The folder holds `cifar10.zip` (`cifar10/{train,test}/<class>/*.jpg`), `clips/` (any videos) and `ucf3/` (classes of
UCF101, `v_<class>_g<group>_c<clip>.avi`). Takes a minute or two on one core.
"""

import argparse
import io
import math
import os
import random
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES
from vidsemi.data.dedup.frame_hashes import SIDE, hash_file, perceptual_hash
from vidsemi.data.dedup.hamming import BITS, near_pairs
from vidsemi.data.image import read_image
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.io.tables import markdown_table

WITHIN = (2, 4, 6, 8, 10)  # bits
WITHIN_PAIRS = (2, 4, 6, 8, 10, 12, 14)
IMAGES, CODED = 1000, 16  # maximum number of images to change, of clips to re-encode
LATER = (0.1, 0.2, 0.5, 1.0)  # seconds
Change = Callable[[Image.Image], Image.Image]
Hashes = Mapping[str, tuple[int, ...]]  # file or member of an archive → its hashes


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Crop a share of width and height, half of it on each side."""
    return ImageOps.crop(image, tuple(round(side * share / 2) for side in image.size * 2))


def brighter(image: Image.Image, factor: float) -> Image.Image:
    """Multiply every value by a factor."""
    return ImageEnhance.Brightness(image).enhance(factor)


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Resize by a factor."""
    return ImageOps.scale(image, factor, Image.Resampling.BILINEAR)


CHANGES: dict[str, tuple[Change, int | None]] = {  # and the JPEG quality; None: lossless
    "JPEG, quality 75": (Image.Image.copy, 75),
    "JPEG, quality 30": (Image.Image.copy, 30),
    "JPEG, quality 10": (Image.Image.copy, 10),
    "half the size": (lambda image: scaled(image, 0.5), None),
    "half the size, JPEG, quality 50": (lambda image: scaled(image, 0.5), 50),
    "twice the size": (lambda image: scaled(image, 2), None),
    "brighter by 20%": (lambda image: brighter(image, 1.2), None),
    "brighter by 50%": (lambda image: brighter(image, 1.5), None),
    "darker by 30%": (lambda image: brighter(image, 0.7), None),
    "grayscale": (lambda image: image.convert("L").convert("RGB"), None),
    "squeezed to a square": (lambda image: image.resize((min(image.size),) * 2), None),
    "cropped by 5% of width and height": (lambda image: cropped(image, 0.05), None),
    "cropped by 10% of width and height": (lambda image: cropped(image, 0.1), None),
    "flipped horizontally": (ImageOps.mirror, None),
    "rotated by 90 degrees": (lambda image: image.transpose(Image.Transpose.ROTATE_90), None),
}
CODINGS: dict[
    str, tuple[str, dict[str, str], int | None, int | None]
] = {  # codec, its options, height, frames per second
    "H.264, crf 35": ("libx264", {"crf": "35"}, None, None),
    "H.264, crf 45": ("libx264", {"crf": "45"}, None, None),
    "120 pixels high, H.264, crf 35": ("libx264", {"crf": "35"}, 120, None),
    "480 pixels high, mpeg4, 400 kbit/s": ("mpeg4", {"b": "400k"}, 480, None),
    "15 fps, H.264, crf 35": ("libx264", {"crf": "35"}, None, 15),
    "10 fps, 120 pixels high, H.264, crf 40": ("libx264", {"crf": "40"}, 120, 10),
}


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    """The smallest Hamming distance at which two examples match; `BITS` if they have too little contrast.

    >>> distance([0b1001], [0b1010]), distance([0], [0])
    (2, 64)
    >>> distance([1, 2, 4, 8, 16], [1, 2, 7, 15, 16]), distance([1, 2, 0, 0, 0], [1, 2, 0, 0, 0])
    (0, 64)
    """
    alike = MIN_MATCHING_FRAMES if len(one) == FRAMES else 1
    bits = sorted((a ^ b).bit_count() for a, b in zip(one, other, strict=True) if a and b)
    return bits[alike - 1] if len(bits) >= alike else BITS


def within(bits: Iterable[int], limits: Sequence[int] = WITHIN) -> list[int]:
    """Count the values up to each limit.

    >>> within(iter([0, 2, 3, 64]), limits=(2, 4))
    [2, 3]
    """
    known = np.fromiter(bits, np.int64)
    return [int(np.sum(known <= limit)) for limit in limits]


def at_rate(count: int, old: float, new: float) -> np.ndarray:
    """Indices of the frames, of `count`, that a video with another frame rate has.

    >>> at_rate(6, 30, 15).tolist()
    [0, 2, 4]
    """
    return (np.arange(max(1, round(count * new / old))) * old / new).astype(np.int64).clip(0, count - 1)


def slashed(numbers: Iterable[object]) -> str:
    """Join numbers for a table cell."""
    return " / ".join(map(str, numbers))


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table under its title."""
    print(f"{title}:\n", *markdown_table(header, list(rows)), "", sep="\n", flush=True)


def rgb_image(data: bytes) -> Image.Image:
    """Decode an image file."""
    return Image.fromarray(read_image("image", data)[0].transpose(1, 2, 0))


def hash_image(image: Image.Image, quality: int | None = None) -> int:
    """Hash an image after writing and reading it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality) if quality else image.save(file, "BMP")
    return perceptual_hash(read_image("image", file.getvalue(), size=(SIDE, SIDE))[0])


def measure_changes(kinds: dict[str, list[Image.Image]]) -> None:
    """Compare images with their changed copies."""
    columns = []
    for images in kinds.values():
        known = [(image, own) for image in images if (own := hash_image(image))]
        column = []
        for change, quality in CHANGES.values():
            counts = within(distance([own], [hash_image(change(image), quality)]) for image, own in known)
            column.append(slashed(f"{100 * count / len(known):.1f}" for count in counts))
        columns.append([str(len(known)), *column])
    rows = zip(["images with enough contrast", *CHANGES], *columns, strict=True)
    print_table(f"Percentage of copies within {slashed(WITHIN)} bits of the original", ["copy", *kinds], rows)


def hash_recoded(
    clip: str, codec: str, options: dict[str, str], lines: int | None, rate: int | None
) -> tuple[int, ...]:
    """Hash a re-encoded clip. One thread, because the output of encoders may depend on the number of threads."""
    info = describe(Row(0, clip))
    old, height = info.rate or 25, lines or info.height
    frames = read_frames(Row(0, clip), lambda n: at_rate(n, old, rate or old), size=None)
    with tempfile.TemporaryDirectory() as folder:
        with av.open(file := f"{folder}/again.mp4", "w") as container:
            stream = container.add_stream(codec, rate=Fraction(rate or old).limit_denominator(1001), options=options)
            assert isinstance(stream, av.VideoStream)
            stream.codec_context.thread_count = 1
            stream.height, stream.width = height // 2 * 2, round(info.width * height / info.height / 2) * 2
            stream.pix_fmt = "yuv420p"
            for frame in np.ascontiguousarray(frames.transpose(0, 2, 3, 1)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return hash_file(Row(0, file)).frames


def measure_clips(hashes: Hashes) -> None:
    """Compare clips with re-encoded copies, and with copies without their beginning."""
    some = list(hashes)[:: math.ceil(len(hashes) / CODED)]
    copies = {name: {clip: hash_recoded(clip, *coding) for clip in some} for name, coding in CODINGS.items()}
    for seconds in LATER:
        parts = {clip: hash_file(Row(0, clip, start=seconds)).frames for clip in hashes}
        copies[f"starts {seconds:g} s later"] = {
            clip: part for clip, part in parts.items() if part
        }  # empty if the clip is shorter
    rows = [
        [name, str(len(of)), slashed(within(distance(hashes[clip], frames) for clip, frames in of.items()))]
        for name, of in copies.items()
    ]
    print_table("Clips with a copy within the distance", ["copy", "clips", f"within {slashed(WITHIN)} bits"], rows)


def measure_pairs(title: str, rows: Hashes, others: Hashes | None, kind: str, group: Callable[[str], str]) -> None:
    """Count pairs, within `rows` or between `rows` and `others`, by distance and by whether they share a group.

    Args:
        title: title of the table.
        rows: file → its hashes.
        others: like `rows`.
        kind: name of the kind of group.
        group: file → its group.
    """
    first, second, bits = near_pairs(
        np.array(list(rows.values()), np.uint64),
        None if others is None else np.array(list(others.values()), np.uint64),
        max_distance=WITHIN_PAIRS[-1],
        min_matches=1 if others else MIN_MATCHING_FRAMES,
    )
    groups, other_groups = (np.array([group(name) for name in names]) for names in (rows, others or rows))
    same = groups[first] == other_groups[second]
    counts, other_counts = Counter(groups.tolist()), Counter(other_groups.tolist())
    total, alike = len(groups) * len(other_groups), sum(counts[one] * other_counts[one] for one in counts)
    if others is None:  # each pair once, no clip with itself
        total, alike = (total - len(groups)) // 2, (alike - len(groups)) // 2
    sides = (within(bits[same == one], WITHIN_PAIRS) for one in (True, False))
    header = ["within bits", f"of {alike:,} pairs of one {kind}", f"of {total - alike:,} others"]
    print_table(title, header, [[f"{number:,}" for number in row] for row in zip(WITHIN_PAIRS, *sides, strict=True)])


def main(words: Sequence[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    default = os.environ.get("VIDSEMI_REAL_DATA")
    parser.add_argument("--data", type=Path, default=default, required=not default, help="default: VIDSEMI_REAL_DATA")
    data = parser.parse_args(words).data
    ucf = sorted(map(str, data.glob("ucf3/*/*.avi")))
    clips = {clip: hash_file(Row(0, clip)).frames for clip in [*sorted(map(str, data.glob("clips/*"))), *ucf]}
    firsts = [read_frames(Row(0, clip), lambda n: np.zeros(1, np.int64), size=None)[0] for clip in clips]
    frames = [Image.fromarray(frame.transpose(1, 2, 0)) for frame in firsts]
    with zipfile.ZipFile(data / "cifar10.zip") as archive:
        files = {file: archive.read(file) for file in archive.namelist() if file.endswith(".jpg")}
    train, test = ([file for file in files if file.startswith(f"cifar10/{split}/")] for split in ("train", "test"))
    some = random.Random(0).sample(sorted(test), min(IMAGES, len(test)))
    small = [rgb_image(files[file]) for file in some]
    measure_changes({"32×32 images": small, "first frames of clips": frames})
    measure_clips(clips)
    groups = {clip: clips[clip] for clip in ucf}
    measure_pairs("Pairs of clips of UCF101", groups, None, "group", lambda clip: clip.rsplit("_c", 1)[0])
    train_hashes, test_hashes = (
        {file: (hash_image(rgb_image(files[file])),) for file in side} for side in (train, test)
    )
    title = "Pairs of a training and a test image of CIFAR-10"
    measure_pairs(title, train_hashes, test_hashes, "class", lambda file: file.split("/")[2])


if __name__ == "__main__":
    main()
