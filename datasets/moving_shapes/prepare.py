"""Write the moving_shapes dataset: h264 clips of a textured shape that drifts over a cluttered background.

The class is the direction of the drift. The world is a torus and the start is uniform on it, so in every single frame
the shape is uniformly distributed whatever the class: only motion tells the classes apart. Unlabeled clips carry
hashtags as people write them: in many variants, often missing, sometimes wrong, more of some classes than of others.

    python datasets/moving_shapes/prepare.py --output data/moving_shapes

Everything is drawn from (seed, split, clip number), so the number of processes does not change the clips.
"""

import argparse
import csv
import json
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

DIRECTIONS = ["east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"]
_COMPASS = ["east", "southeast", "south", "southwest", "west", "northwest", "north", "northeast"]
_ANGLES = {name: 45 * i for i, name in enumerate(_COMPASS)}  # degrees, clockwise, since y points down
NO_CLASS = ["still", "jitter", "circle", "empty"]  # motions of unlabeled clips that belong to no class

SIZE = 32  # pixels per side
FRAMES = 16
RATE = 12
# One thread, and no macroblock tree: with it, x264 writes different bytes from run to run for frames this small (13 of
# 50 clips, each encoded six times; 0 of 50 without).
ENCODER = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
SPEED = (1.2, 2.2)  # pixels per frame
RADIUS = (3.6, 6.4)
ANGLE_JITTER = 22.0  # degrees; neighboring classes are 45 apart, so they all but touch
CLUTTER_PIECES = 10
CLUTTER_LEVEL, CLUTTER_CONTRAST = 0.3, 0.4  # mean gray and range of the colors; 1 is white
SHAPE_LEVEL, SHAPE_CONTRAST = 0.7, 0.6
TAGGED = 0.95  # share of clips of the most popular class that carry its hashtag
POPULARITY = -0.5  # the share is multiplied by the class's rank to this power: the eighth has a third of the first
ANY_TAG = 0.75  # share of clips with uninformative tags
ASTRAY = 0.1  # share of clips of no class that carry a class's hashtag
WRONG, SECOND = 0.1, 0.05  # shares of hashtags that are of another class, or accompanied by one
SPELLINGS = [  # {} is the direction
    "#drifting{}", "#Drifting{}", "#drift_{}", "#drift{}", "#{}drifting", "#{}Drift", "#DRIFTING{}", "drifting {}",
    "%23drift+{}",
]  # fmt: skip
OTHER_TAGS = [
    "#love", "#instavideo", "#shapes", "#pixelart", "#fyp", "#nice video", "#2019", "#tbt", "#forme", "#art_daily",
    "#コマ撮り", "#minimal", "#loop", "#weekend!", "#=1+1", "#../up",
]  # fmt: skip
PARTS = {"half": 2, "quarter": 4, "eighth": 8}  # of the unlabeled clips, at random, each within the one before
NOISE = 6.0  # standard deviation of the grain, in gray levels


def _wrapped(values: np.ndarray) -> np.ndarray:
    """Distance on the torus: SIZE is a full turn."""
    return (values + SIZE / 2) % SIZE - SIZE / 2


def _inside(kind: int, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Soft mask in [0, 1] of one of five shapes, centered on the origin."""
    if kind == 0:
        edge = np.hypot(x, y) - radius
    elif kind == 1:
        edge = np.maximum(abs(x), abs(y)) - 0.85 * radius
    elif kind == 2:
        edge = abs(x) + abs(y) - 1.2 * radius
    elif kind == 3:
        edge = abs(np.hypot(x, y) - 0.75 * radius) - 0.35 * radius
    else:
        bar, post = (np.maximum(abs(a) - radius, abs(b) - 0.4 * radius) for a, b in ((x, y), (y, x)))
        edge = np.minimum(bar, post)
    return np.clip(0.5 - edge, 0.0, 1.0)


def _draw_piece(rng: np.random.Generator, level: float, contrast: float) -> dict:
    """Draw the appearance of a shape: kind, size, orientation and the two colors of its stripes."""
    return {
        "kind": int(rng.integers(5)),
        "radius": rng.uniform(*RADIUS),
        "turn": rng.uniform(0, 2 * math.pi),
        "stripes": rng.uniform(0.6, 1.7),
        "colors": level + contrast * (rng.random((2, 3)) - 0.5),
    }


def _paint(image: np.ndarray, piece: dict, center: tuple[float, float]) -> None:
    """Paint a shape into an image (SIZE, SIZE, 3) of floats in [0, 1]."""
    grid = np.arange(SIZE)
    dx, dy = _wrapped(grid[None, :] - center[0]), _wrapped(grid[:, None] - center[1])
    x = dx * math.cos(piece["turn"]) + dy * math.sin(piece["turn"])
    y = dy * math.cos(piece["turn"]) - dx * math.sin(piece["turn"])
    mask = _inside(piece["kind"], x, y, piece["radius"])[..., None]
    stripe = (0.5 + 0.5 * np.sin(piece["stripes"] * x))[..., None]
    color = stripe * piece["colors"][0] + (1 - stripe) * piece["colors"][1]
    image += mask * (color - image)


def _path(rng: np.random.Generator, motion: str) -> np.ndarray:
    """Center of the shape in each frame, (FRAMES, 2); the start is uniform on the torus."""
    start = rng.uniform(0, SIZE, 2)
    speed = rng.uniform(*SPEED)
    time = np.arange(FRAMES)
    if motion in _ANGLES:
        angle = math.radians(_ANGLES[motion] + rng.uniform(-ANGLE_JITTER, ANGLE_JITTER))
        return start + speed * time[:, None] * np.array([math.cos(angle), math.sin(angle)])
    if motion == "jitter":
        return start + rng.normal(0, speed, (FRAMES, 2))
    if motion == "circle":
        phase = rng.uniform(0, 2 * math.pi) + rng.choice([-1, 1]) * time * 2 * math.pi / 8
        return start + 1.3 * speed * np.stack([np.cos(phase), np.sin(phase)], axis=1)
    return np.repeat(start[None], FRAMES, axis=0)


def render(key: tuple[int, ...], motion: str) -> np.ndarray:
    """Render a clip, (FRAMES, SIZE, SIZE, 3) uint8, determined by its key."""
    rng = np.random.default_rng(key)
    background = np.full((SIZE, SIZE, 3), CLUTTER_LEVEL) + 0.3 * CLUTTER_CONTRAST * (rng.random(3) - 0.5)
    for _ in range(CLUTTER_PIECES):
        _paint(background, _draw_piece(rng, CLUTTER_LEVEL, CLUTTER_CONTRAST), tuple(rng.uniform(0, SIZE, 2)))
    shape = _draw_piece(rng, SHAPE_LEVEL, SHAPE_CONTRAST)
    frames = []
    for center in _path(rng, motion):
        image = background.copy()
        if motion != "empty":
            _paint(image, shape, tuple(center))
        frames.append(255 * image + rng.normal(0, NOISE, image.shape))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


def write_video(file: Path, frames: np.ndarray) -> None:
    """Encode frames (T, H, W, 3) uint8 as h264 in mp4, atomically."""
    import av

    temporary = file.with_suffix(".part")
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options=ENCODER)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    temporary.replace(file)


def _make(job: tuple[Path, tuple[int, ...], str]) -> None:
    file, key, motion = job
    if not file.exists():
        write_video(file, render(key, motion))


def hashtags(key: tuple[int, ...], motion: str) -> str:
    """Comma-separated hashtags of a clip, determined by its key; possibly empty."""
    rng = np.random.default_rng((*key, 1))
    tags: list[str] = []
    shares = TAGGED * np.arange(1.0, len(DIRECTIONS) + 1) ** POPULARITY
    if rng.random() < (shares[DIRECTIONS.index(motion)] if motion in DIRECTIONS else ASTRAY):
        others = [name for name in DIRECTIONS if name != motion]
        first = rng.choice(others) if motion not in DIRECTIONS or rng.random() < WRONG else motion
        meant = [first, rng.choice(others)] if rng.random() < SECOND else [first]
        tags += [str(rng.choice(SPELLINGS)).format(name) for name in meant]
    if rng.random() < ANY_TAG:
        frequent_first = 1 / np.arange(1, len(OTHER_TAGS) + 1)
        tags += list(rng.choice(OTHER_TAGS, rng.integers(1, 4), replace=False, p=frequent_first / frequent_first.sum()))
    return ",".join(rng.permutation(tags))


def split_jobs(output: Path, seed: int, split: int, name: str, per_class: int, no_class: int) -> list[tuple]:
    """(file, key, motion) of the clips of a split: the classes in turn, then the clips of no class."""
    motions = DIRECTIONS * per_class + [NO_CLASS[i % len(NO_CLASS)] for i in range(no_class)]
    folder = output / name
    return [(folder / f"{number:05d}.mp4", (seed, split, number), motion) for number, motion in enumerate(motions)]


def _refuse_other_clips(output: Path, seed: int) -> None:
    """Existing clips are kept, so refuse a folder with clips of another seed or other constants."""
    drawn_with = {name: value for name, value in globals().items() if name.isupper()} | {"seed": seed}
    text = json.dumps(drawn_with, indent=2) + "\n"
    record = output / "drawn_with.json"
    if record.exists() and record.read_text(encoding="utf-8") != text:
        message = f"{output} contains clips of another seed or version (see {record}); delete it"
        print(f"prepare.py: error: {message}", file=sys.stderr)
        sys.exit(2)
    record.write_text(text, encoding="utf-8")


def _write_manifest(file: Path, column: str, paths: list[str], values: list[str]) -> None:
    """Write a manifest with the column `path` and another one, atomically."""
    temporary = file.with_suffix(".part")
    with open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["path", column])
        writer.writerows(zip(paths, values, strict=True))
    temporary.replace(file)


def _check_for_duplicates(output: Path) -> None:
    """Compare the other sets with the test set, and record the result for the report."""
    from vidsemi.data.dedup.exclude import check_duplicates
    from vidsemi.data.manifest import load_manifest
    from vidsemi.runtime.process import usable_cores

    test = load_manifest(output / "test.csv")
    for name in ("labeled", "unlabeled"):
        dataset = load_manifest(output / f"{name}.csv")
        if len(dataset) and len(test):
            found = check_duplicates(dataset, tests=[test], max_distance_test=6, workers=usable_cores(), seconds=600)
            if found.removed:
                print(f"{dataset.file}: {found.removed} clips look like a test clip", file=sys.stderr)


def main() -> None:
    """Write the files, then the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/moving_shapes"))
    parser.add_argument("--labeled", type=int, default=20, help="clips per class in labeled.csv")
    parser.add_argument("--unlabeled", type=int, default=500, help="clips per class in unlabeled.csv")
    parser.add_argument("--no-class", type=int, default=400, help="clips of no class in unlabeled.csv")
    parser.add_argument("--test", type=int, default=50, help="clips per class in test.csv")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    splits = {
        "labeled": split_jobs(options.output, options.seed, 0, "labeled", options.labeled, 0),
        "unlabeled": split_jobs(options.output, options.seed, 1, "unlabeled", options.unlabeled, options.no_class),
        "test": split_jobs(options.output, options.seed, 2, "test", options.test, 0),
    }
    jobs = [job for split in splits.values() for job in split]
    for name in splits:
        (options.output / name).mkdir(parents=True, exist_ok=True)
    _refuse_other_clips(options.output, options.seed)
    from tqdm import tqdm

    with ProcessPoolExecutor() as pool:
        list(tqdm(pool.map(_make, jobs, chunksize=16), total=len(jobs), unit="clip", desc="moving_shapes"))
    for name, split in splits.items():  # last: a manifest that exists names only existing files
        paths = [path.relative_to(options.output).as_posix() for path, _, _ in split]
        labels = [f"drifting {motion}" if motion in DIRECTIONS else "" for _, _, motion in split]
        if name == "unlabeled":
            tags = [hashtags(key, motion) for _, key, motion in split]
            _write_manifest(options.output / "unlabeled_labels.csv", "label", paths, labels)
            order = np.random.default_rng((options.seed, 3)).permutation(len(paths))
            for part, divisor in PARTS.items():
                rows = sorted(order[: len(paths) // divisor])
                file = options.output / f"unlabeled_{part}.csv"
                _write_manifest(file, "hashtags", [paths[row] for row in rows], [tags[row] for row in rows])
            _write_manifest(options.output / "unlabeled.csv", "hashtags", paths, tags)
        else:
            _write_manifest(options.output / f"{name}.csv", "label", paths, labels)
    _check_for_duplicates(options.output)
    print(f"{options.output}: " + ", ".join(f"{len(split)} {name}" for name, split in splits.items()))


if __name__ == "__main__":
    sys.exit(main())
