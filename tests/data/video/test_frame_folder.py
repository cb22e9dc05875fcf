"""Folders of frames are read as videos of a given rate."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.test_manifest import touch
from tests.helpers.errors import refused
from tests.helpers.videos import barcode_frame, read_barcode
from vidsemi.cli import main as cli
from vidsemi.data.dedup.frame_hashes import hash_file
from vidsemi.data.formats.frame_names import frames_of
from vidsemi.data.formats.frames import read_frames as scan_frames
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.data.video.container import Trim
from vidsemi.data.video.frame_folder import frame_paths
from vidsemi.data.views import ViewReader
from vidsemi.io.errors import DecodeError


def write_frames(folder: Path, numbers: range, name: str = "img_{:05d}.png", first: int = 1) -> Path:
    """Frames of barcodes, in files that count from `first`."""
    folder.mkdir(parents=True)
    for place, number in enumerate(numbers):
        Image.fromarray(barcode_frame(number)).save(folder / name.format(place + first))
    return folder


@pytest.mark.parametrize("name", ["img_{:05d}.png", "{}.jpg", "frame{:03d}.webp"])
def test_frames_come_in_the_order_of_their_numbers(name: str, tmp_path: Path):
    folder = write_frames(tmp_path / "v", range(20), name)
    row = Row(0, str(folder), frames_per_second=10.0)
    read = read_frames(row, lambda n: np.array([n - 1, 0, 9, 9]), size=(48, 64), exact=False)
    assert read.shape == (4, 3, 48, 64) and read.dtype == np.uint8
    assert [read_barcode(frame) for frame in read] == [19, 0, 9, 9]
    if name.endswith("png"):
        assert (read[0] == barcode_frame(19).transpose(2, 0, 1)).all()
    spec = InputSpec(frames=4, stride=2, resize=(48, 64), crop=48, mean=(0.5,) * 3, std=(0.2,) * 3)
    reader = ViewReader(spec, views=3)
    (request,) = reader.requests(row)
    views = reader(request)
    expected = [[start + 2 * step for step in range(4)] for start in (0, 6, 13)]  # floor(i (20 - 7) / 2)
    assert views.shape == (3, 4, 3, 48, 48)
    decoded = read_frames(row, lambda n: np.array(expected).reshape(-1), size=(48, 64))
    assert (views == decoded.reshape(3, 4, 3, 48, 64)[..., 8:56]).all()


@given(st.integers(1, 40), st.sampled_from([10.0, 12.0, 25.0, 29.97]), st.floats(0, 4), st.floats(0, 4))
def test_trims_hold_the_frames_that_begin_in_them(
    tmp_path_factory: pytest.TempPathFactory, count: int, rate: float, start: float, length: float
):
    folder = touch(tmp_path_factory.mktemp("f"), *(f"{number}.jpg" for number in range(count)))
    row = Row(0, str(folder), start=start, end=start + length, frames_per_second=rate)
    expected = [f"{folder}/{number}.jpg" for number in range(count) if start <= number / rate < start + length]
    if expected:
        assert frame_paths(row.path, rate, Trim(row.start, row.end)) == expected
        return
    with pytest.raises(DecodeError) as caught:
        frame_paths(row.path, rate, Trim(row.start, row.end))
    assert caught.value.code == "video.empty_trim"


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["a10.jpg", "a9.jpg", "a011.jpg"], ["a9.jpg", "a10.jpg", "a011.jpg"]),
        (["img_1.jpg", "flow_x_1.jpg", "flow_y_1.jpg", "x_1.jpg", "y_1.jpg"], ["img_1.jpg"]),
        (["flow_x_1.jpg", "flow_x_2.jpg"], ["flow_x_1.jpg", "flow_x_2.jpg"]),
        (["1.JPG", "2.JPG", "thumb.png", "meta3.json"], ["1.JPG", "2.JPG"]),
        (["1.jpg", "1.png"], None),
        (["left_1.jpg", "right_1.jpg"], None),
        (["thumb.jpg", "1.mp4"], None),
        ([], None),
    ],
)
def test_which_images_are_the_frames(names: list[str], frames: list[str] | None):
    if frames is not None:
        assert frames_of(names) == frames
        return
    with pytest.raises(ValueError, match="folder"):
        frames_of(names)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"path": "none"}, "file.unreadable"),
        ({"path": "empty"}, "frames.unclear"),
        ({"path": "mixed"}, "frames.shapes_differ"),
        ({"path": "broken"}, "image."),
        ({"path": "v", "frames_per_second": float("nan")}, "frames.bad_rate"),
        ({"path": "v", "frames_per_second": 0.0}, "frames.bad_rate"),
        ({"path": "v", "start": 2.0}, "video.empty_trim"),
    ],
)
def test_what_cannot_be_read_is_a_decode_error(row: dict, code: str, tmp_path: Path):
    write_frames(tmp_path / "v", range(2))
    write_frames(tmp_path / "mixed", range(2))
    Image.new("RGB", (30, 90)).save(tmp_path / "mixed" / "img_00002.png")
    touch(tmp_path / "broken", "1.jpg", "2.jpg")
    (tmp_path / "empty").mkdir()
    values = {"frames_per_second": 10.0, **row, "path": str(tmp_path / row["path"])}
    with pytest.raises(DecodeError) as caught:
        read_frames(Row(0, **values), lambda n: np.arange(n), size=24)
    assert caught.value.code.startswith(code)
    assert str(tmp_path) in str(caught.value)


def test_folders_of_frames_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make_video: Callable[..., Path]
):
    for name, shift in (("a/v1", 0), ("a/deep/v2", 50), ("b/v3", 100), ("b/v3 copy", 100)):
        write_frames(tmp_path / "r" / name, range(shift, shift + 8))
    make_video("r/b/x.mp4")
    touch(tmp_path / "r" / "b" / "odd", "left_1.jpg", "right_1.jpg")
    words = ["manifest", "frames", "--root", str(tmp_path / "r"), "--rate", "4", "--output", str(tmp_path / "m.csv")]
    assert cli.main([*words, "--json", "--verify", "--workers", "0"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["examples"], answer["classes"], answer["missing"], answer["videos"]) == (4, 2, 1, 4)
    assert (answer["readable"], answer["frames"], answer["miscounted"]) == (4, 32, 0)
    manifest = load_manifest(tmp_path / "m.csv")
    assert manifest.table.to_pydict()["path"] == ["r/a/deep/v2", "r/a/v1", "r/b/v3", "r/b/v3 copy"]
    assert manifest.table.to_pydict()["frames_per_second"] == [4.0] * 4
    assert manifest.row(2).frames_per_second == 4.0
    first = describe(manifest.row(0))
    assert (first.frames, first.seconds, first.rate, first.container, first.width) == (8, 2.0, 4.0, "folder", 64)
    hashes = [hash_file(manifest.row(number)) for number in range(4)]
    assert hashes[2] == hashes[3] and len({hashed.content for hashed in hashes}) == 3
    (tmp_path / "t.csv").write_text("path,label,frames_per_second,rate\nr/a/v1,x,4,high\nr/b/x.mp4,y,30,low\n")
    assert cli.main(["manifest", "table", str(tmp_path / "t.csv"), "--output", str(tmp_path / "n.parquet")]) == 0
    rows = [load_manifest(tmp_path / "n.parquet").row(number) for number in (0, 1)]
    assert [row.frames_per_second for row in rows] == [4.0, 30.0]
    assert [describe(row).container for row in rows] == ["folder", describe(Row(0, rows[1].path)).container]


def test_roots_of_frames(tmp_path: Path):
    write_frames(tmp_path / "r" / "v1", range(3))
    with refused("frames.no_class", tmp_path / "r" / "v1", "--unlabeled"):
        scan_frames(tmp_path / "r", rate=10)
    found = scan_frames(tmp_path / "r", rate=10, unlabeled=True)
    assert found.columns == {"path": [str(tmp_path / "r" / "v1")], "frames_per_second": [10]}
    with refused("list.bad_rate", "-1"):
        scan_frames(tmp_path / "r", rate=-1)
