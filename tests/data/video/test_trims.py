"""Trims: their frames are those shown in them, in every container, found by seeking as by reading through."""

import struct
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.data.video.test_decode_frames import FILES
from tests.helpers.mp4_boxes import set_edit_list
from tests.helpers.videos import full_decode, read_barcode, write_video
from vidsemi.data.manifest import Row
from vidsemi.data.verify import describe
from vidsemi.data.video import decode as video
from vidsemi.data.video.container import Source, Trim, open_video
from vidsemi.data.video.picture import Picture
from vidsemi.io.errors import DecodeError

SIZE = (24, 32)
N = 36  # frames


def codes(frames: np.ndarray) -> list[int]:
    return [read_barcode(frame) for frame in frames]


def check_trim(file: Path, trim: Trim, expected: list[int]) -> None:
    """However it is read, the trim has these frames."""
    source = Source(str(file))
    with open_video(source) as (_, stream):
        picture = Picture(source, stream)
    readers = [
        lambda choose: video.read_video(source, choose, size=SIZE, trim=trim),
        lambda choose: video.read_video(source, choose, size=SIZE, trim=trim, exact=False),
        lambda choose: video._decode_trim(source, choose, SIZE, trim, picture),  # sequentially
    ]
    for read in readers:
        if expected:
            assert codes(read(np.arange)) == expected
            assert codes(read(lambda n: np.array([n - 1, 0]))) == [expected[-1], expected[0]]
        else:
            with pytest.raises(DecodeError) as caught:
                read(np.arange)
            assert caught.value.code == "video.empty_trim"


def bounds(trim: tuple[float | None, float | None], rate: int) -> Trim:
    return Trim(*(None if bound is None else bound / rate for bound in trim))


def inside(times: Sequence[float], trim: tuple[float | None, float | None]) -> list[int]:
    start, end = trim
    return [i for i, t in enumerate(times) if (start is None or t >= start) and (end is None or t < end)]


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("raw")])
def test_trims_of_every_kind_of_file(tmp_path: Path, name: str):
    options = FILES[name]
    file = write_video(tmp_path / name, **options)
    stamps = list(options.get("stamps", range(options.get("frames", 20))))
    times = [stamp - stamps[0] for stamp in stamps]
    for trim in ((times[-1] // 3, None), (None, times[-1] / 2), (times[-1] / 4, times[-1] * 0.9), (0.0, 1e9)):
        check_trim(file, bounds(trim, options.get("rate", 10)), inside(times, trim))


QUIET = {"options": {"x265-params": "log-level=error"}}
KINDS: dict[str, list[dict[str, Any]]] = {
    "mp4": [{}, {"codec": "mpeg4"}, {"codec": "libx265", **QUIET}],
    "mov": [{}, {"codec": "mpeg4"}],
    "mkv": [{}, {"codec": "mpeg4"}, {"codec": "mpeg2video"}, {"codec": "libvpx", "bf": 0}],
    "avi": [{}, {"codec": "mpeg4"}, {"codec": "mpeg2video"}, {"codec": "msmpeg4v2", "bf": 0}],
    "ts": [{}, {"codec": "mpeg4"}, {"codec": "mpeg2video"}, {"codec": "libx265", **QUIET}],
    "flv": [{}],
    "asf": [{}, {"codec": "mpeg4"}],
    "nut": [{}],
    "webm": [{"codec": "libvpx-vp9"}],
    "ivf": [{"codec": "libvpx-vp9"}],
    "wtv": [{"codec": "mpeg2video"}],
}
BOUND = st.one_of(st.none(), st.integers(0, N + 5), st.floats(0, N + 5).map(lambda x: round(x, 2)))


@given(
    kind=st.sampled_from([(suffix, index) for suffix, kinds in KINDS.items() for index in range(len(kinds))]),
    bf=st.integers(0, 3),
    gop=st.integers(1, 20),
    rate=st.sampled_from([10, 25, 30]),
    late=st.integers(0, 100),
    dropped=st.dictionaries(st.integers(1, N - 1), st.integers(1, 5), max_size=3),
    trim=st.tuples(BOUND, BOUND),
)
@example(kind=("avi", 0), bf=3, gop=12, rate=10, late=0, dropped={}, trim=(10, 20))
@example(kind=("avi", 1), bf=2, gop=12, rate=25, late=0, dropped={12: 3}, trim=(14, 30))
@example(kind=("avi", 0), bf=0, gop=5, rate=25, late=0, dropped={3: 5, 7: 3}, trim=(9, 14))
@example(kind=("mkv", 0), bf=2, gop=12, rate=30, late=10, dropped={}, trim=(10, 20))
@settings(max_examples=40)
@pytest.mark.slow
def test_trims_count_from_the_first_frame(
    kind: tuple[str, int],
    bf: int,
    gop: int,
    rate: int,
    late: int,
    dropped: dict[int, int],
    trim: tuple[float | None, float | None],
):
    suffix, index = kind
    late = 0 if suffix == "avi" else late  # an AVI begins at 0
    last = (
        N - 4 if suffix == "avi" else N
    )  # AVI writes nothing after the last packet, so no gap before the last pictures
    gaps = np.array([dropped.get(i, 0) if i < last else 0 for i in range(N)])
    times = np.arange(N) + np.cumsum(gaps)
    with TemporaryDirectory() as folder:
        options = {"bf": bf, **KINDS[suffix][index]}
        file = Path(folder, f"a.{suffix}")
        write_video(file, N, rate=rate, gop=gop, size=(64, 64), stamps=(times + late).tolist(), **options)
        check_trim(file, bounds(trim, rate), inside(times.tolist(), trim))


@pytest.mark.parametrize("second", [0, 5, 300, 5000])  # frame at which the clock starts again, after 119
@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("ts", "mpeg2video"), ("mkv", "libx264")])
def test_a_clock_that_restarts_is_continued(tmp_path: Path, suffix: str, codec: str, second: int):
    parts = [
        write_video(tmp_path / f"{begin}.{suffix}", numbers, rate=25, codec=codec, stamps=range(begin, begin + 20))
        for numbers, begin in ((range(20), 100), (range(20, 40), second))
    ]
    file = tmp_path / f"both.{suffix}"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert codes(full_decode(file, SIZE)) == list(range(40))
    pause = second - 120 if second > 120 and (suffix == "mkv" or second < 250 + 120) else 0  # 10 s are a restart
    times = [i + (pause if i >= 20 else 0) for i in range(40)]
    for trim in ((3, 9), (10, 30), (18.5, 22), (25, None), (None, 30), (5, 100_000)):
        check_trim(file, bounds(trim, 25), inside(times, trim))
    assert describe(Row(0, str(file))).seconds == pytest.approx((times[-1] + 1) / 25, abs=0.002)


@pytest.mark.parametrize(
    ("segments", "numbers", "times"),
    [
        ([(500, -1), (1440, 0)], range(36), range(36)),
        ([(1000, 5)], range(5, 30), range(25)),
        ([(600, 12), (480, 0)], [*range(12, 27), *range(12)], range(27)),
        ([(480, 0), (480, 0)], [*range(12), *range(12)], range(24)),
    ],
    ids=["pause first", "cut", "swapped", "twice"],
)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_trims_of_edit_lists(
    tmp_path: Path, suffix: str, segments: list[tuple[int, int]], numbers: Sequence[int], times: Sequence[int]
):
    file = write_video(tmp_path / f"a.{suffix}", N, rate=25, gop=12)
    tick = 12800 // 25
    set_edit_list(file, [(duration, start * tick if start > 0 else start) for duration, start in segments])
    assert codes(full_decode(file, SIZE)) == list(numbers)
    for trim in ((0, 10), (5, 15), (11, 20), (13, None)):
        check_trim(file, bounds(trim, 25), [numbers[i] for i in inside(times, trim)])


def avi_chunks(file: Path) -> tuple[bytes, list[bytes]]:
    """What precedes the frames of an AVI of one stream, and their chunks without headers."""
    content = file.read_bytes()
    place = content.index(b"movi") + 4
    head, chunks = content[:place], []
    while content[place : place + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", content, place + 4)
        chunks.append(content[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return head, chunks


def write_avi(file: Path, head: bytes, chunks: list[bytes], keys: Sequence[int]) -> None:
    """Join what `avi_chunks` parts, with an index; `keys` are key frames."""
    movi, index = b"", b""
    for number, chunk in enumerate(chunks):
        index += b"00dc" + struct.pack("<III", 16 if number in keys else 0, 4 + len(movi), len(chunk))
        movi += b"00dc" + struct.pack("<I", len(chunk)) + chunk + bytes(len(chunk) % 2)
    head = bytearray(head[:-8] + struct.pack("<I", 4 + len(movi)) + b"movi")
    frames = head.index(b"avih") + 8 + 16, head.index(b"strh") + 8 + 32
    for place in frames:
        head[place : place + 4] = struct.pack("<I", len(chunks))
    body = bytes(head) + movi + b"idx1" + struct.pack("<I", len(index)) + index
    file.write_bytes(body[:4] + struct.pack("<I", len(body) - 8) + body[8:])


@pytest.mark.parametrize(("empty", "bf"), [(b"", 0), (b"", 2), (b"\0\0\1\xb6\x57", 0)])
def test_frames_that_an_avi_drops_take_their_time(tmp_path: Path, empty: bytes, bf: int):
    """Encoders leave a chunk empty, or write a picture that is not coded: the frame before stays on the screen."""
    file = write_video(tmp_path / "a.avi", 30, codec="mpeg4", bf=bf, rate=10, gop=10)
    head, chunks = avi_chunks(file)
    keys = [number for number, chunk in enumerate(chunks) if b"\0\0\1\xb0" in chunk or b"\0\0\1\xb3" in chunk]
    assert len(chunks) == 30 and keys
    delay = int(bf > 0)  # a decoder shows a picture one packet later, so a gap is seen that much earlier
    chunks[21 + delay : 21 + delay] = [empty] * 4
    write_avi(file, head, chunks, [key if key < 21 else key + 4 for key in keys])
    times = [i + (4 if i >= 21 else 0) for i in range(30)]
    for trim in ((10, 20), (15, 26), (26, 30), (21, 25), (None, 23)):
        check_trim(file, bounds(trim, 10), inside(times, trim))


@pytest.mark.slow
def test_trims_of_real_avi_files(real_data: Path):
    """UCF101 and HMDB51: each has a constant rate, some have B-frames."""
    files = [*sorted((real_data / "ucf3").rglob("*.avi"))[::9], *sorted((real_data / "clips").glob("*.avi"))]
    rng = np.random.default_rng(0)
    for file in files:
        every = full_decode(file, SIZE)
        rate = describe(Row(0, str(file))).rate
        start, end = sorted(rng.choice(len(every), 2, replace=False).tolist())
        trim = Trim(start / rate, end / rate)
        assert np.array_equal(video.read_video(Source(str(file)), np.arange, size=SIZE, trim=trim), every[start:end])
