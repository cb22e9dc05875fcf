"""A small copy of a corpus: the same frames at the same times, key frames close together, restartable."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.videos import barcode_frame, read_barcode, write_video
from vidsemi.cli import main as cli
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.read import read_frames
from vidsemi.data.shrink import FAILURES, Encoding, shrink_corpus, shrink_video
from vidsemi.io.errors import DecodeError, UserError

SMALL = Encoding(short_side=32, gop=4)


def frames_of(file: Path) -> list[av.VideoFrame]:
    with av.open(str(file)) as container:
        return list(container.decode(video=0))


def seconds_of(file: Path) -> np.ndarray:
    return np.array([float(frame.pts * frame.time_base) for frame in frames_of(file)])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.webm"])
def test_a_copy_has_the_same_frames_at_the_same_times(tmp_path: Path, name: str):
    codec = "libvpx" if name.endswith("webm") else "libx264"
    source = write_video(tmp_path / name, frames=30, codec=codec, size=(96, 160), bf=0 if name.endswith("avi") else 2)
    assert shrink_video(Row(0, str(source)), tmp_path / "copy.mp4", SMALL) == 30
    pixels = read_frames(Row(0, str(tmp_path / "copy.mp4")), np.arange, size=32)
    assert [read_barcode(frame) for frame in pixels] == [*range(30)]
    assert (pixels.shape[-2], frames_of(tmp_path / "copy.mp4")[0].width) == (32, 54)  # even, where 53 is rounded down
    np.testing.assert_allclose(seconds_of(tmp_path / "copy.mp4"), np.arange(30) / 10, atol=1e-3)
    keys = [number for number, frame in enumerate(frames_of(tmp_path / "copy.mp4")) if frame.key_frame]
    assert keys == [*range(0, 30, 4)]


def test_times_that_are_not_even_and_a_trim_are_kept(tmp_path: Path):
    stamps = [0, 1, 2, 5, 6, 11, 12, 13, 20, 21]
    source = write_video(tmp_path / "a.mp4", frames=10, stamps=stamps, bf=0)
    shrink_video(Row(0, str(source)), tmp_path / "whole.mp4", SMALL)
    np.testing.assert_allclose(seconds_of(tmp_path / "whole.mp4"), np.array(stamps) / 10, atol=1e-3)
    assert shrink_video(Row(0, str(source), start=0.5, end=1.25), tmp_path / "part.mp4", SMALL) == 4
    np.testing.assert_allclose(seconds_of(tmp_path / "part.mp4"), np.array([0, 1, 6, 7]) / 10, atol=1e-3)
    with pytest.raises(DecodeError):
        shrink_video(Row(0, str(source), start=30.0, end=40.0), tmp_path / "none.mp4", SMALL)
    assert not (tmp_path / "none.mp4").exists()


def test_a_folder_of_frames_becomes_a_video(tmp_path: Path):
    for number in range(6):
        Image.fromarray(barcode_frame(number, 96, 160)).save(tmp_path / f"img_{number + 1:05d}.png")
    assert shrink_video(Row(0, str(tmp_path), frames_per_second=12.5), tmp_path / "copy.mp4", SMALL) == 6
    pixels = read_frames(Row(0, str(tmp_path / "copy.mp4")), np.arange, size=32)
    assert [read_barcode(frame) for frame in pixels] == [*range(6)]
    np.testing.assert_allclose(seconds_of(tmp_path / "copy.mp4"), np.arange(6) / 12.5, atol=1e-3)


@pytest.fixture
def corpus(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", frames=12)
    (tmp_path / "broken.mp4").write_text("nothing")
    rows = [["0.mp4", "x", "", ""], ["broken.mp4", "x", "", ""], ["1.mp4", "y", "0.2", "0.6"], ["2.mp4", "y", "", ""]]
    return write_csv("m.csv", ["path", "label", "start", "end"], rows)


def test_the_manifest_of_the_copies_knows_its_source(corpus: Path, tmp_path: Path):
    summary = shrink_corpus(load_manifest(corpus), tmp_path / "small", SMALL, workers=0, seconds=60)
    assert (summary.videos, summary.failed) == (3, 1)
    copies = load_manifest(summary.manifest)
    assert copies.table.column("label").to_pylist() == ["x", "y", "y"]
    assert copies.table.column_names == ["path", "label"]
    sources = pq.read_table(summary.manifest).column("source").to_pylist()
    assert [source.partition(" ")[0] for source in sources] == [str(tmp_path / f"{n}.mp4") for n in range(3)]
    assert "0.2" in sources[1] and "0.6" in sources[1]
    counts = [len(read_frames(copies.row(example_id), np.arange, size=32)) for example_id in range(3)]
    assert counts == [12, 4, 12]
    assert "broken.mp4" in (tmp_path / "small" / FAILURES).read_text()


@pytest.mark.slow
def test_a_killed_call_resumes_with_the_missing_videos(corpus: Path, tmp_path: Path):
    manifest, folder = load_manifest(corpus), tmp_path / "small"
    shrink_corpus(manifest, folder, SMALL, workers=2, seconds=60)
    first, *_, last = sorted(folder.glob("*/*.mp4"))
    content, kept = last.read_bytes(), first.stat().st_mtime_ns
    last.unlink()
    last.with_name(f"{last.name}.tmp").write_bytes(content[:50])
    shrink_corpus(manifest, folder, SMALL, workers=2, seconds=60)
    assert last.read_bytes() == content and first.stat().st_mtime_ns == kept
    with pytest.raises(UserError) as error:
        shrink_corpus(manifest, folder, Encoding(short_side=64), workers=0, seconds=60)
    assert error.value.code == "shrink.other_settings" and str(folder) in str(error.value)


def test_the_command(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["shrink", "--manifest", str(corpus), "--output", str(tmp_path / "small"), "--workers", "0"]
    assert cli.main([*arguments, "--short-side", "32"]) == 0
    text = capsys.readouterr().out
    assert "3 videos" in text and "1 videos cannot be read" in text and FAILURES in text


def test_images_are_refused(colors: Path, tmp_path: Path):
    with pytest.raises(UserError) as error:
        shrink_corpus(load_manifest(colors / "test.csv"), tmp_path / "small", SMALL, workers=0, seconds=60)
    assert error.value.code == "shrink.image"
