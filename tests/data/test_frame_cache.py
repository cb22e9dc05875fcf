"""Cached frames are those that decoding gives, whatever happens to the cache."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.videos import full_decode
from vidsemi.config.load import load_config
from vidsemi.data import frame_cache as module
from vidsemi.data.frame_cache import FrameCache, frame_cache
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.pipeline import run as pipeline

SIZE = (24, 32)


def chosen(*numbers: int) -> Callable[[int], np.ndarray]:
    return lambda count: np.array(numbers) % count


def read(file: Path, choose: Callable[[int], np.ndarray], cache: FrameCache | None, **trim: float) -> np.ndarray:
    return read_frames(Row(0, str(file), **trim), choose, size=SIZE, exact=False, cache=cache)


def entries(cache: FrameCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> FrameCache:
    return FrameCache(tmp_path / "frames")


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from now on."""
    files: list[str] = []
    real = module.FrameCache.read

    def counted(self: FrameCache, key: str, choose: object, decode: Callable[..., np.ndarray], size: object) -> object:
        return real(self, key, choose, lambda own: (files.append(key), decode(own))[1], size)  # type: ignore[arg-type]

    monkeypatch.setattr(module.FrameCache, "read", counted)
    return files


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(numbers=st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_frames_are_those_of_a_full_decode(numbers: list[int], make_video: Callable[..., Path], cache: FrameCache):
    file = make_video("a.mp4", frames=13, codec="libx264")
    for _ in range(2):
        frames = read(file, chosen(*numbers), cache)
        np.testing.assert_array_equal(frames, full_decode(file, SIZE)[np.array(numbers) % 13])


def test_a_video_is_decoded_once(make_video: Callable[..., Path], cache: FrameCache, decodes: list[str]):
    file = make_video("a.mp4", frames=9, codec="libx264")
    for first in range(5):
        read(file, chosen(first, first + 1), cache)
    assert len(decodes) == len(entries(cache)) == 1


def test_other_bytes_trims_and_sizes_are_other_entries(make_video: Callable[..., Path], cache: FrameCache):
    file = make_video("a.mp4", frames=9, codec="libx264")
    read(file, chosen(0), cache)
    part = read(file, chosen(0), cache, start=0.1)
    np.testing.assert_array_equal(part, read(file, chosen(0), None, start=0.1))
    read_frames(Row(0, str(file)), chosen(0), size=20, cache=cache)
    make_video("a.mp4", frames=7, codec="libx264")
    np.testing.assert_array_equal(read(file, chosen(6), cache), full_decode(file, SIZE)[[6]])
    assert len(entries(cache)) == 4


@pytest.mark.parametrize("place", [0, 9, 20, 60, -1])
@pytest.mark.parametrize("change", ["bit", "cut", "empty"])
def test_a_damaged_entry_is_written_again(place: int, change: str, make_video: Callable[..., Path], cache: FrameCache):
    file = make_video("a.mp4", frames=9, codec="libx264")
    everything = chosen(*range(9))
    before = read(file, everything, cache)
    [entry] = entries(cache)
    whole = entry.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    entry.write_bytes({"bit": bytes(damaged), "cut": whole[:place], "empty": b""}[change])
    np.testing.assert_array_equal(read(file, everything, cache), before)
    assert entry.read_bytes() == whole


def test_a_long_video_is_decoded_each_time(
    make_video: Callable[..., Path], cache: FrameCache, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_BYTES", 8 * 3 * SIZE[0] * SIZE[1])
    file = make_video("a.mp4", frames=9, codec="libx264")
    for _ in range(2):
        np.testing.assert_array_equal(read(file, chosen(3, 5), cache), full_decode(file, SIZE)[[3, 5]])
    [entry] = entries(cache)
    assert entry.stat().st_size < 100


def test_a_full_disk_keeps_nothing(
    make_video: Callable[..., Path],
    cache: FrameCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    usage = shutil.disk_usage(cache.folder.parent)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    frame_cache(cache.folder)
    assert "almost full" in caplog.text
    file = make_video("a.mp4", frames=9, codec="libx264")
    np.testing.assert_array_equal(read(file, chosen(3), cache), full_decode(file, SIZE)[[3]])
    assert not entries(cache)


def test_a_file_that_does_not_decode_is_an_error_each_time(tmp_path: Path, cache: FrameCache):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"no video")
    for _ in range(2):
        with pytest.raises(DecodeError):
            read(file, chosen(0), cache)
    with pytest.raises(DecodeError):
        read(tmp_path / "missing.mp4", chosen(0), cache)
    assert not entries(cache)


def test_a_folder_that_cannot_be_created(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        frame_cache(tmp_path / "file" / "frames")
    assert error.value.code == "runtime.frame_cache"
    assert "file/frames" in str(error.value)


@pytest.mark.slow
def test_real_files(real_data: Path, cache: FrameCache):
    for file in sorted((real_data / "clips").iterdir()):
        choose = chosen(0, 7, 40)
        try:
            wanted = read_frames(Row(0, str(file)), choose, size=SIZE)
        except DecodeError:
            continue
        for _ in range(2):
            np.testing.assert_array_equal(read(file, choose, cache), wanted)
    assert entries(cache)


@pytest.mark.slow
def test_a_run_with_cached_frames_gives_the_same_results(tiny_config: Callable[..., Path], tmp_path: Path):
    rows = []
    for name, settings_ in (("plain", []), ("cached", [f"runtime.frame_cache={tmp_path}/frames"])):
        config = load_config(tiny_config(), [*settings_, f"output={tmp_path / name}"])
        rows.append(pipeline.run(config))
    assert rows[0] == rows[1]
    assert entries(FrameCache(tmp_path / "frames"))
