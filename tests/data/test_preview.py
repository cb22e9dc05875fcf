"""Previews: small, looping, from the middle; of every kind of file, or a reason."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import read_barcode, rotate_mp4, write_video
from vidsemi.data.manifest import Row
from vidsemi.data.preview import HEIGHT, MAX_BYTES, MAX_WIDTH, _encoded, make_preview, preview_key
from vidsemi.data.read import is_image
from vidsemi.data.worker_process import attempt
from vidsemi.io.errors import DecodeError


def opened(preview: bytes) -> Image.Image:
    """A preview, which must be small WebP that loops forever if it moves."""
    assert len(preview) <= MAX_BYTES
    image = Image.open(io.BytesIO(preview))
    assert image.format == "WEBP" and image.width <= MAX_WIDTH and image.height <= HEIGHT
    if getattr(image, "is_animated", False):
        assert image.info["loop"] == 0
    return image


def frames_of(preview: bytes) -> list[tuple[np.ndarray, int]]:
    """Each frame (3, H, W), and how many milliseconds it is shown."""
    image, frames = opened(preview), []
    for number in range(image.n_frames):
        image.seek(number)
        image.load()
        frames.append((np.asarray(image.convert("RGB")).transpose(2, 0, 1), image.info["duration"]))
    return frames


@pytest.mark.parametrize(("frames", "rate"), [(100, 10), (100, 25), (30, 25), (8, 10), (3, 30), (1, 10)])
def test_a_video_shows_two_seconds_of_its_middle_in_its_own_speed(tmp_path: Path, frames: int, rate: int):
    file = write_video(tmp_path / "a.mp4", frames, rate=rate, gop=12, size=(112, 144))
    shown = frames_of(make_preview(Row(0, str(file)))) if frames > 1 else [(None, 0)]
    step = max(min(round(rate / 6), frames // 12), 1)
    length = min(12, frames)
    first = (frames - ((length - 1) * step + 1)) // 2
    if frames > 1:
        assert [read_barcode(frame) for frame, _ in shown] == [first + step * place for place in range(length)]
        assert {time for _, time in shown} == {round(1000 * step / rate)}
        assert shown[0][0].shape == (3, 112, 144)
    else:
        assert read_barcode(np.asarray(opened(make_preview(Row(0, str(file))))).transpose(2, 0, 1)) == 0


def test_trims_rotation_and_folders_of_frames(tmp_path: Path):
    file = write_video(tmp_path / "a.mp4", 100, rate=10, size=(64, 112))
    shown = frames_of(make_preview(Row(0, str(file), start=3.0, end=5.0)))
    numbers = [read_barcode(frame) for frame, _ in shown]
    assert numbers == list(range(numbers[0], numbers[0] + 12)) and 30 <= numbers[0] <= numbers[-1] < 50
    assert shown[0][0].shape == (3, 112, 196)
    assert opened(make_preview(Row(0, str(rotate_mp4(file, 90))))).size == (64, 112)
    (tmp_path / "folder").mkdir()
    for number in range(20):
        pixels = np.full((40, 60, 3), 12 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "folder" / f"{number:03d}.png")
    shown = frames_of(make_preview(Row(0, str(tmp_path / "folder"), frames_per_second=12.0)))
    assert [round(frame.mean() / 12) for frame, _ in shown] == list(range(4, 16))
    assert {time for _, time in shown} == {round(1000 / 12)}


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (3, 5), (1, 1), (4000, 2), (2, 4000)])
def test_images_keep_their_shape_and_never_move(tmp_path: Path, size: tuple[int, int]):
    Image.effect_noise(size, 90).save(tmp_path / "a.png")
    image = opened(make_preview(Row(0, str(tmp_path / "a.png"))))
    assert not getattr(image, "is_animated", False)
    width, height = size
    factor = min(HEIGHT / height, MAX_WIDTH / width)
    assert abs(image.width - max(width * factor, 1)) <= 0.5 and abs(image.height - max(height * factor, 1)) <= 0.5


@pytest.mark.parametrize("levels", [2, 256])
def test_noise_fits_too(levels: int):
    rng = np.random.default_rng(levels)
    noise = rng.integers(0, levels, (12, HEIGHT, MAX_WIDTH, 3), dtype=np.uint8) * (255 // (levels - 1))
    opened(_encoded([Image.fromarray(frame) for frame in noise.astype(np.uint8)], 167))


@pytest.mark.slow
def test_real_clips_and_odd_files_have_a_preview_or_a_reason(real_data: Path):
    clips, odd = sorted((real_data / "clips").iterdir())[::4], sorted((real_data / "odd").rglob("*.*"))[::3]
    for file in clips:
        preview = make_preview(Row(0, str(file)))
        shown = frames_of(preview)
        assert len(shown) >= 8 and len(preview) > 8000 and 1500 <= sum(time for _, time in shown) <= 2500
        assert opened(preview).width >= 100
        assert preview == make_preview(Row(0, str(file)))
    results = {file: attempt(make_preview, Row(0, str(file))) for file in odd}
    assert all(isinstance(result, bytes) or result.reason for result in results.values())
    made = {file: opened(result) for file, result in results.items() if isinstance(result, bytes)}
    assert len(made) > len(odd) / 3
    for file, image in made.items():
        assert not (is_image(Row(0, str(file))) and getattr(image, "is_animated", False))


def test_a_key_changes_with_what_is_shown(tmp_path: Path):
    file = write_video(tmp_path / "a.mp4", 10)
    row = Row(0, str(file))
    key = preview_key(row)
    assert key == preview_key(Row(7, str(file)))
    others = [Row(0, str(file), start=0.5), Row(0, str(file), end=0.5), Row(0, str(file), member="x", offset=1, size=2)]
    assert len({key, *map(preview_key, others)}) == 4
    os.utime(file, ns=(1, 1))
    assert preview_key(row) != key
    assert preview_key(Row(0, "https://example.org/a.mp4")) != preview_key(Row(0, "https://example.org/b.mp4"))
    for missing in (tmp_path / "gone.mp4", tmp_path / "a\0b"):
        with pytest.raises(DecodeError) as error:
            preview_key(Row(0, str(missing)))
        assert error.value.code == "file.unreadable"
    assert len(preview_key(Row(0, os.fsdecode(os.fsencode("https://é/").replace(b"\xc3", b"\xff"))))) == len(key)
