"""The demo's data: that it is what its page says, and that only motion tells the classes apart."""

import csv
import importlib.util
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from vidsemi.data.dedup.checks import recorded_checks
from vidsemi.data.hashtags.normalize import split_tags
from vidsemi.data.hashtags.vocabulary import build_vocabulary
from vidsemi.data.manifest import load_manifest


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", REPOSITORY / "datasets/moving_shapes/prepare.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_h264_and_the_manifests_name_them(shapes: Path, prepare: ModuleType):
    with av.open(str(shapes / "labeled" / "00000.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", prepare.SIZE, prepare.SIZE)
        assert sum(1 for _ in container.decode(stream)) == prepare.FRAMES
    for name, rows in (("labeled", 24), ("unlabeled", 52), ("unlabeled_labels", 52), ("test", 16)):
        with open(shapes / f"{name}.csv", newline="") as file:
            table = list(csv.DictReader(file))
        assert len(table) == rows
        assert all((shapes / row["path"]).is_file() for row in table)
        assert ("label" in table[0]) == (name != "unlabeled")


def test_no_clip_looks_like_a_test_clip_and_that_is_recorded(shapes: Path):
    datasets = {name: load_manifest(shapes / f"{name}.csv") for name in ("labeled", "unlabeled")}
    checks = recorded_checks(datasets, {"test": load_manifest(shapes / "test.csv")})
    assert [(check.dataset, check.counts and (check.counts["exact"], check.counts["near"])) for check in checks] == [
        ("labeled", (0, 0)), ("unlabeled", (0, 0)),
    ]  # fmt: skip


def test_parts_of_the_unlabeled_set_are_nested_and_at_random(shapes: Path):
    whole = (shapes / "unlabeled.csv").read_text().splitlines()
    parts = [
        whole,
        *((shapes / f"unlabeled_{name}.csv").read_text().splitlines() for name in ("half", "quarter", "eighth")),
    ]
    assert [len(part) - 1 for part in parts] == [52, 26, 13, 6]
    for larger, part in pairwise(parts):
        assert set(part) <= set(larger)
        assert part == sorted(part, key=whole.index)
    assert parts[1] != whole[:27]


def test_clips_of_another_seed_are_not_mixed(shapes: Path):
    script = REPOSITORY / "datasets/moving_shapes/prepare.py"
    command = [sys.executable, script, "--output", shapes, "--seed", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "drawn_with.json" in result.stderr


def test_the_path_is_the_class(prepare: ModuleType):
    rng = np.random.default_rng(0)
    for name in prepare.DIRECTIONS:
        steps = np.diff(prepare._path(rng, name), axis=0)
        assert np.allclose(steps, steps[0])
        angle = math.degrees(math.atan2(-steps[0, 1], steps[0, 0]))  # y points down
        compass = {"east": 0, "north": 90, "west": 180, "south": -90}
        parts = [compass[word] for word in ("north", "south", "east", "west") if word in name]
        expected = math.degrees(
            math.atan2(sum(math.sin(math.radians(p)) for p in parts), sum(math.cos(math.radians(p)) for p in parts))
        )
        difference = (angle - expected + 180) % 360 - 180
        assert abs(difference) <= prepare.ANGLE_JITTER + 1e-9
    assert set(prepare.DIRECTIONS) == set(prepare._ANGLES)


def test_in_a_single_frame_the_place_is_uniform_whatever_the_class(prepare: ModuleType):
    """Chi-square over a 4 × 4 grid of the shape's center in the last frame, the one farthest from the start."""
    rng = np.random.default_rng(1)
    for name in prepare.DIRECTIONS:
        centers = np.stack([prepare._path(rng, name)[-1] for _ in range(1600)]) % prepare.SIZE
        cells = (centers // (prepare.SIZE / 4)).astype(int)
        counts = np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16)
        chi_square = ((counts - 100) ** 2 / 100).sum()
        assert chi_square < 44.3  # 15 degrees of freedom, p = 0.0001


def test_the_world_is_a_torus(prepare: ModuleType):
    rng = np.random.default_rng(2)
    piece = prepare._draw_piece(rng, 0.7, 0.6)
    here, round_the_world = (np.full((prepare.SIZE, prepare.SIZE, 3), 0.3) for _ in range(2))
    prepare._paint(here, piece, (3.0, 7.5))
    prepare._paint(round_the_world, piece, (3.0 + prepare.SIZE, 7.5 - prepare.SIZE))
    assert np.allclose(here, round_the_world)
    moved = np.full((prepare.SIZE, prepare.SIZE, 3), 0.3)
    prepare._paint(moved, piece, (13.0, 7.5))
    assert np.allclose(np.roll(here, 10, axis=1), moved)


def test_the_same_key_draws_the_same_clip(prepare: ModuleType):
    one = prepare.render((0, 1, 2), "east")
    assert np.array_equal(one, prepare.render((0, 1, 2), "east"))
    assert not np.array_equal(one, prepare.render((0, 1, 3), "east"))
    assert one.shape == (prepare.FRAMES, prepare.SIZE, prepare.SIZE, 3)
    assert one.dtype == np.uint8


@pytest.mark.slow
def test_hashtags_are_frequent_for_some_classes_and_sometimes_wrong_or_missing(prepare: ModuleType):
    """Drawn for 2,000 clips a motion; what a class's tags are is up to the vocabulary of the class names."""
    known = build_vocabulary([f"drifting {name}" for name in prepare.DIRECTIONS], {}).label_by_tag
    shares = {}
    for number, motion in enumerate([*prepare.DIRECTIONS, "still"]):
        texts = [prepare.hashtags((0, number, clip), motion) for clip in range(2000)]
        found = [sorted({known[tag] for tag in split_tags(text) if tag in known}) for text in texts]
        shares[motion] = np.mean([bool(labels) for labels in found])
        pairs = list(zip(texts, found, strict=True))
        assert ("", []) in pairs and any(text and not labels for text, labels in pairs)
        if motion != "still":
            right = np.mean([number in labels for labels in found if labels])
            assert right == pytest.approx(1 - prepare.WRONG, abs=0.04)
            spelled = {text for text, labels in pairs if labels == [number] and "," not in text}
            assert len(spelled) == len(prepare.SPELLINGS) - 1  # "drifting east" without a comma is two tags
    expected = prepare.TAGGED * np.arange(1.0, 9.0) ** prepare.POPULARITY
    assert [shares[name] for name in prepare.DIRECTIONS] == pytest.approx(expected, abs=0.05)
    assert shares["still"] == pytest.approx(prepare.ASTRAY, abs=0.05)
