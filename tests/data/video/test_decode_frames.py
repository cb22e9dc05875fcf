"""Videos whose frames carry their numbers, in every container and codec: the requested frames are read."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.helpers.videos import cut_by_edit_list, full_decode, link_ffmpeg, read_barcode, rotate_mp4, write_video
from vidsemi.data.clip_sampling import random_clip_indices, view_indices
from vidsemi.data.manifest import Row
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.data.video import decode as video
from vidsemi.data.video.backends import read_with_backend
from vidsemi.data.video.container import Source
from vidsemi.data.video.decode import read_video
from vidsemi.io.errors import DecodeError

SIZE = (24, 32)
X265 = {"codec": "libx265", "options": {"x265-params": "log-level=error"}}
X265_OPEN = {"codec": "libx265", "options": {"x265-params": "log-level=error:open-gop=1"}}
X264_OPEN = {"frames": 60, "gop": 12, "options": {"x264-params": "open-gop=1:scenecut=0"}}
PYRAMID = {"frames": 80, "gop": 40, "bf": 7, "options": {"x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}}
LAYERS = {"frames": 40, "codec": "libx265", "options": {"x265-params": "log-level=error:temporal-layers=3:b-adapt=0"}}
ALT_REF = {"codec": "libvpx-vp9", "frames": 60, "gop": 30, "options": {"auto-alt-ref": "1", "lag-in-frames": "20"}}
FRAGMENTS = {"container_options": {"movflags": "frag_keyframe+empty_moov"}}
SQUARES = [number**2 for number in range(20)]

FILES: dict[str, dict[str, Any]] = {
    "b-frames.mp4": {},
    "no-b-frames.mp4": {"bf": 0},
    "b-frames.mkv": {},
    "b-frames.mov": {},
    "b-frames.flv": {},
    "b-frames.ts": {},
    "b-frames.avi": {},
    "no-b-frames.avi": {"bf": 0},
    "raw.h264": {},
    "hevc.mp4": X265,
    "hevc-open-gop.mkv": X265_OPEN,
    "hevc-layers.mp4": LAYERS,
    "hevc-closed.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=error:open-gop=0"}},
    "hevc.ts": X265,
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp9.mp4": {"codec": "libvpx-vp9"},
    "vp9-hidden-frames.webm": ALT_REF,
    "vp8.webm": {"codec": "libvpx", "bf": 0},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4-no-b.avi": {"codec": "mpeg4", "bf": 0},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mpeg4-no-b.mp4": {"codec": "mpeg4", "bf": 0},
    "mpeg2.mpg": {"codec": "mpeg2video", "rate": 25},
    "av1.mp4": {"codec": "libsvtav1", "size": (64, 64)},
    "av1.mkv": {"codec": "libsvtav1", "size": (64, 64)},
    "open-gop.mp4": X264_OPEN,
    "pyramid.mp4": PYRAMID,
    "intra-refresh.mp4": {"frames": 60, "gop": 30, "options": {"x264-params": "intra-refresh=1"}},
    "intra-only.mp4": {"gop": 1, "bf": 0},
    "starts-late.mp4": {"stamps": range(50, 70)},
    "starts-late.ts": {"stamps": range(50, 70)},
    "variable-rate.mp4": {"stamps": SQUARES},
    "variable-rate.mkv": {"stamps": SQUARES},
    "fragments.mp4": FRAGMENTS,
    "odd-size.webm": {"codec": "libvpx-vp9", "size": (49, 67)},
    "odd-size.mp4": {"size": (49, 67), "pix_fmt": "yuv444p"},
    "one.mp4": {"frames": 1},
    "five.mp4": {"frames": 5},
    "five.avi": {"frames": 5, "codec": "mpeg4", "bf": 0},
    "ten-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "ten-bit.mkv": {"pix_fmt": "yuv420p10le", **X265},
    "large-packets.mp4": {"frames": 40, "gop": 20, "options": {"x264-params": "qp=0:scenecut=0"}},
}
SELECTIVE = [  # files of which not all packets have to be decoded
    *("b-frames.mp4", "b-frames.mkv", "b-frames.mov", "b-frames.flv", "b-frames.ts", "no-b-frames.avi", "hevc.mp4"),
    *("vp9.webm", "mpeg4-no-b.avi", "av1.mp4", "open-gop.mp4", "pyramid.mp4", "starts-late.ts", "variable-rate.mkv"),
    *("fragments.mp4", "ten-bit.mp4", "large-packets.mp4"),
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("barcodes")


@pytest.fixture
def file(folder: Path, request: pytest.FixtureRequest) -> Path:
    """One of FILES, written when it is first needed."""
    file = folder / request.param
    return file if file.exists() else write_video(file, **FILES[request.param])


def codes(frames: np.ndarray) -> list[int]:
    return [read_barcode(frame) for frame in frames]


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_frames_are_those_of_a_full_decode(file: Path):
    expected = full_decode(file, SIZE)
    n = FILES[file.name].get("frames", 20)
    assert codes(expected) == list(range(n))
    rng = np.random.default_rng(0)
    for _ in range(12):
        wanted = rng.integers(0, n, int(rng.integers(1, 7)))
        for exact in (True, False):
            frames = read_video(Source(str(file)), lambda n, wanted=wanted: wanted, size=SIZE, exact=exact)
            assert np.array_equal(frames, expected[wanted])
    for length, views in ((4, 10), (n + 3, 2), (1, 1)):
        wanted = view_indices(n, length, 1, views).reshape(-1)
        frames = read_video(Source(str(file)), lambda n, k=length, v=views: view_indices(n, k, 1, v).ravel(), size=SIZE)
        assert np.array_equal(frames, expected[wanted])


@pytest.mark.parametrize("file", SELECTIVE, indirect=True)
def test_decoding_is_selective(file: Path, monkeypatch: pytest.MonkeyPatch):
    """Otherwise the test above would only test sequential decoding."""
    monkeypatch.setattr(video, "decode_sequentially", None)
    for exact in (True, False):
        frames = read_video(Source(str(file)), lambda n: np.array([1, n - 1]), size=SIZE, exact=exact)
        assert codes(frames) == [1, FILES[file.name].get("frames", 20) - 1]


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_training_clips_are_consecutive_frames(file: Path):
    n = FILES[file.name].get("frames", 20)
    for seed in range(6):
        wanted = random_clip_indices(n, 4, 2, np.random.default_rng(seed))
        frames = read_frames(
            Row(0, str(file)),
            lambda n, seed=seed: random_clip_indices(n, 4, 2, np.random.default_rng(seed)),
            size=SIZE,
            exact=False,
        )
        assert codes(frames) == wanted.tolist()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation(tmp_path: Path, degrees: int):
    file = rotate_mp4(write_video(tmp_path / "a.mp4", 9, size=(48, 96)), degrees)
    upright = read_video(Source(str(file)), lambda n: np.arange(n))
    assert upright.shape == ((9, 3, 96, 48) if degrees % 180 else (9, 3, 48, 96))
    back = np.rot90(upright, degrees // 90, axes=(2, 3))
    assert codes(back) == list(range(9))
    assert describe(Row(0, str(file))).width == upright.shape[3]
    scaled = read_video(Source(str(file)), lambda n: np.arange(n), size=SIZE)
    assert np.array_equal(scaled, full_decode(file, SIZE))


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_edit_lists_hide_frames(tmp_path: Path, frames: int):
    file = write_video(tmp_path / "a.mp4", 30, gop=12)
    with av.open(str(file)) as container:
        ticks = container.streams.video[0].duration // 30
    cut_by_edit_list(file, frames * ticks)
    expected = full_decode(file, SIZE)
    assert codes(expected) == list(range(frames, 30))
    for exact in (True, False):
        got = read_video(Source(str(file)), lambda n: np.arange(n), size=SIZE, exact=exact)
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_decord_decodes_the_files_it_supports(file: Path):
    pytest.importorskip("decord")
    supported = check_backend("decord", file)
    assert supported == (file.suffix in (".mp4", ".mov", ".mkv", ".webm", ".flv") and not unsupported_coding(file))


def unsupported_coding(file: Path) -> bool:
    """Codecs that decord does not know or decodes wrongly, and open groups of pictures, which x265 makes by default."""
    wrong = ("mpeg4", "vp8", "av1", "hevc", "open-gop", "ten-bit.mkv")
    return file.name != "hevc-closed.mp4" and any(part in file.name for part in wrong)


def check_backend(decoder: str, file: Path) -> bool:
    """Whether the decoder supports a file; if it does, its frames are checked."""
    n = FILES[file.name].get("frames", 20)
    wanted = np.random.default_rng(0).integers(0, n, 10)
    frames = read_with_backend(decoder, Source(str(file)), lambda n: wanted, SIZE)
    if frames is None:
        return False
    assert codes(frames) == wanted.tolist()
    assert abs(frames.astype(int) - full_decode(file, SIZE)[wanted]).mean() < 1.5  # they scale differently
    return True


@pytest.mark.slow
def test_torchcodec_decodes_the_files_it_supports(folder: Path, tmp_path: Path):
    """In a process of its own, since FFmpeg's libraries are located when a process starts."""
    pytest.importorskip("torchcodec.version")
    for name, settings in FILES.items():
        if not (folder / name).exists():
            write_video(folder / name, **settings)
    script = (
        "import sys; from pathlib import Path; from tests.data.video.test_decode_frames import FILES, check_backend\n"
        "print(*[name for name in FILES if check_backend('torchcodec', Path(sys.argv[1], name))])"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": link_ffmpeg(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", script, folder], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    supported = set(done.stdout.split())
    assert {"b-frames.mp4", "vp9.webm", "av1.mkv", "hevc.mp4"} <= supported
    assert not {name for name in supported if name.endswith((".avi", ".ts", ".mpg")) or "mpeg4" in name}


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_unsupported_files_are_read_by_pyav(make_video: Callable[..., Path], decoder: str):
    file = make_video("a.avi", codec="mpeg4")
    frames = read_frames(Row(0, str(file)), lambda n: np.arange(n), size=SIZE, decoder=decoder)
    assert np.array_equal(frames, full_decode(file, SIZE))


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_playlist_that_is_also_an_mp4_is_not_followed(tmp_path: Path, decoder: str):
    """Its first four letters are the size of a first box; an older FFmpeg takes it for a playlist."""
    write_video(tmp_path / "secret.ts", [200] * 30)
    mp4 = write_video(tmp_path / "a.mp4", 30, container_options={"movflags": "faststart"})
    begin = int.from_bytes(b"#EXT", "big")
    content = bytearray(mp4.read_bytes())
    table = content.index(b"stco") + 8
    for entry in range(table + 4, table + 4 + 4 * int.from_bytes(content[table : table + 4], "big"), 4):
        moved = int.from_bytes(content[entry : entry + 4], "big") + begin
        content[entry : entry + 4] = moved.to_bytes(4, "big")
    with open(tmp_path / "both.mp4", "wb") as file:
        file.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n".encode())
        file.seek(begin)  # sparse up to here
        file.write(content)
    try:
        frames = read_frames(Row(0, str(tmp_path / "both.mp4")), lambda n: np.arange(n), size=SIZE, decoder=decoder)
    except DecodeError:
        return
    assert codes(frames) == list(range(30))
