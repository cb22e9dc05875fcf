"""Tars of samples as video2dataset and img2dataset write them, and how a manifest of them is cut into shards."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.videos import read_barcode
from vidsemi.cli import main as cli
from vidsemi.data.batches import TableBatches
from vidsemi.data.formats.tar import index_tar
from vidsemi.data.manifest import Manifest, Row, load_manifest
from vidsemi.data.read import read_frames
from vidsemi.data.shards import shard_ranges


def write_tar(file: Path, members: dict[str, bytes], **options: int) -> Path:
    with tarfile.open(file, "w", **options) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def index(output: Path, *patterns: object) -> Manifest:
    assert cli.main(["manifest", "tar", *map(str, patterns), "--output", str(output), "--workers", "1", "--json"]) == 0
    return load_manifest(output)


@pytest.fixture
def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_video2dataset_writes(
    make_video: Callable[..., Path], tmp_path: Path, picture: bytes, form: int, suffix: str
):
    """Keys of nine digits, a video, a caption, metadata; a thumbnail now and then; long names; a class number."""
    videos = [make_video(f"{n}.mp4", frames=3 + n).read_bytes() for n in range(4)]
    long = "folder/" * 12 + "x" * 80  # beyond the 100 characters of the oldest tars
    shards = tmp_path / "shards"
    shards.mkdir()
    meta = json.dumps({"caption": "a cat", "status": "success"}).encode()
    write_tar(
        shards / "00000.tar",
        {"000000000.mp4": videos[0], "000000000.json": meta, "000000000.txt": b"a cat", "000000001.json": meta}
        | {"000000001.jpg": picture, "000000001.mp4": videos[1]},
        format=form,
    )
    write_tar(
        shards / "00001.tar",
        {
            f"{long}.cls": b"7\n",
            f"{long}.mp4": videos[2],
            "b.png": picture,
            "c.left.png": picture,
            "c.right.png": picture,
        },
        format=form,
    )
    write_tar(shards / "00002.tar", {"d.json": meta, "d.MP4": videos[3], ".mp4": videos[0]}, format=form)
    (shards / "00000.parquet").write_bytes(b"its own table")
    (shards / "00000_stats.json").write_text("{}")
    manifest = index(tmp_path / f"m.{suffix}", f"{shards}/{{00000..00002}}.tar")
    paths = ["shards/00000.tar"] * 2 + ["shards/00001.tar"] * 4 + ["shards/00002.tar"]
    assert manifest.table.column("path").to_pylist() == paths
    names = ["000000000.mp4", "000000001.mp4", f"{long}.mp4", "b.png", "c.left.png", "c.right.png", "d.MP4"]
    assert manifest.table.column("member").to_pylist() == names
    assert manifest.table.column("label").to_pylist() == [None, None, "7", None, None, None, None]
    for example, frames in ((0, 3), (1, 4), (2, 5), (6, 6)):
        read = read_frames(manifest.row(example), lambda n: np.arange(n), size=(24, 32))
        assert [read_barcode(frame) for frame in read] == list(range(frames))
    assert read_frames(manifest.row(4), lambda n: np.arange(n), size=(8, 8)).mean() > 50


def test_a_damaged_tar_costs_what_it_has_lost(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
):
    video = make_video("a.mp4").read_bytes()
    good = write_tar(tmp_path / "good.tar", {"a.mp4": video, "b.mp4": video})
    (tmp_path / "cut.tar").write_bytes(good.read_bytes()[: len(video) + 2000])
    (tmp_path / "packed.tar").write_bytes(b"\x1f\x8b" + b"0" * 600)
    (tmp_path / "empty.tar").write_bytes(b"")
    manifest = index(tmp_path / "m.csv", tmp_path)
    printed = json.loads(capsys.readouterr().out)
    assert printed["tars"] == 4 and printed["damaged"] == 3 and printed["examples"] == 4
    assert manifest.table.column("member").to_pylist() == ["a.mp4", "b.mp4", "a.mp4", "b.mp4"]  # cut.tar, good.tar
    missing = (tmp_path / "m.missing.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in missing] == [f"{tmp_path}/{n}.tar" for n in ("cut", "empty", "packed")]
    assert "uncompressed" in missing[2]


@pytest.mark.parametrize(
    ("damage", "kept", "words"),
    [
        (lambda data, at: data[: at[4]], 4, "without an end mark"),
        (lambda data, at: data[: at[4] + 100], 4, "no header at byte"),
        (lambda data, at: data[: at[3] + 10] + b"\xff" + data[at[3] + 11 :], 3, "no header at byte"),
        (lambda data, at: data[: at[5]] + bytes(512) + data[at[5] + 512 :], 5, "no header at byte"),
        (lambda data, at: data + data, 10, "no header at byte"),
        (lambda data, at: data[:-10240] + bytes(1024), 10, None),
    ],
)
def test_a_tar_that_ends_too_early_is_damaged(
    make_video: Callable[..., Path], tmp_path: Path, damage: Callable, kept: int, words: str | None
):
    """Python's tarfile takes anything that is not a header for the end."""
    video = make_video("a.mp4").read_bytes()
    data = write_tar(tmp_path / "a.tar", {f"{n}.mp4": video for n in range(10)}).read_bytes()
    step = 512 + -(-len(video) // 512) * 512
    (tmp_path / "a.tar").write_bytes(damage(data, [n * step for n in range(10)]))
    found = index_tar(Row(0, str(tmp_path / "a.tar")))
    assert found.columns["member"] == [f"{n}.mp4" for n in range(kept)]
    assert (found.error is None) if words is None else (words in found.error)


def test_names_that_come_again_or_are_no_text(make_video: Callable[..., Path], tmp_path: Path):
    video, other = make_video("a.mp4").read_bytes(), make_video("b.mp4", frames=4).read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("a.mp4", video), ("x\udcff.mp4", video), ("a.mp4", other)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    manifest = index(tmp_path / "m.parquet", tmp_path / "a.tar")
    assert manifest.table.column("member").to_pylist() == ["a.mp4", "x?.mp4"]
    assert manifest.row(0).size == len(other)
    assert index_tar(Row(0, str(tmp_path / "a.tar"))).left_out == 1


def test_links_and_images_beside_videos_are_counted(
    make_video: Callable[..., Path], tmp_path: Path, picture: bytes, capsys: pytest.CaptureFixture
):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(make_video("a.mp4"), "a.mp4")
        for kind, name in ((tarfile.SYMTYPE, "b.mp4"), (tarfile.LNKTYPE, "c.mp4")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        poster = tarfile.TarInfo("a.png")
        poster.size = len(picture)
        tar.addfile(poster, io.BytesIO(picture))
    manifest = index(tmp_path / "m.parquet", tmp_path / "a.tar")
    assert json.loads(capsys.readouterr().out)["left_out"] == 3
    assert manifest.table.column("member").to_pylist() == ["a.mp4"]


@pytest.mark.parametrize(
    ("pattern", "code", "mentioned"),
    [
        ("pipe:cat x.tar", "tar.not_local", "pipe:cat x.tar"),
        ("s3://bucket/x.tar", "manifest.remote_files", "s3://bucket/x.tar"),
        ("no/{0..1}.tar", "tar.missing", "no/0.tar does not exist (from no/{0..1}.tar)"),
        ("no/*.tar", "tar.missing", "no/*.tar"),
        ("{0..1", "tar.bad_pattern", "{0..1"),
        ("EMPTY", "tar.missing", "EMPTY"),
        ("NOTHING", "tar.no_media", "1 tars"),
    ],
)
def test_what_is_no_tar_is_said_in_a_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    code: str,
    mentioned: str,
):
    (tmp_path / "EMPTY").mkdir()
    write_tar(tmp_path / "NOTHING", {"a.txt": b"text"})
    monkeypatch.chdir(tmp_path)
    assert cli.main(["manifest", "tar", pattern, "--output", "m.parquet", "--workers", "0"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vidsemi: error:")]
    assert len(errors) == 1 and mentioned in errors[0] and f"[{code}]" in errors[0]
    assert not (tmp_path / "m.parquet").exists()


@pytest.mark.slow
def test_a_tar_is_scored_as_its_files_are(tmp_path: Path, shapes: Path, weights: Path):
    files = sorted((shapes / "test").glob("*.mp4"))
    write_tar(tmp_path / "a.tar", {file.name: file.read_bytes() for file in files[:7]})
    write_tar(tmp_path / "b.tar", {file.name: file.read_bytes() for file in files[7:]})
    index(tmp_path / "tars.parquet", tmp_path / "a.tar", tmp_path / "b.tar")
    (tmp_path / "files.csv").write_text("path\n" + "".join(f"{file}\n" for file in files))
    for name, manifest in (("a", "tars.parquet"), ("b", "files.csv")):
        words = ["--views", "2", "--workers", "0", "--shard-size", "8", "--precision", "float32", "--device", "cpu"]
        paths = ["--weights", str(weights), "--manifest", str(tmp_path / manifest), "--output", str(tmp_path / name)]
        assert cli.main(["score", *paths, *words]) == 0
    parts = [pq.read_table(file) for file in sorted((tmp_path / "a").glob("part-*"))]
    assert [len(set(part.column("example_id").to_pylist())) for part in parts] == [7, 9]  # b.tar is not cut
    tars, plain = (pq.read_table(sorted((tmp_path / name).glob("part-*"))) for name in "ab")
    assert tars.column("label") == plain.column("label")
    np.testing.assert_allclose(tars.column("score"), plain.column("score"), atol=1e-6)


def tars_of(sizes: list[int]) -> Manifest:
    """A manifest of tars of these sizes; size 0 is a file outside of tars."""
    rows = [(f"{n}.tar", None if not size else "m") for n, size in enumerate(sizes) for _ in range(max(size, 1))]
    table = pa.table(
        {"path": [path for path, _ in rows], "member": pa.array([member for _, member in rows], pa.string())}
    )
    pieces = [table.slice(first, 3) for first in range(0, len(table), 3)]  # as a large file's come
    return Manifest(Path("m.parquet"), Path(), TableBatches(pa.concat_tables(pieces)), "")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.integers(1, 15))
def test_shards_are_whole_tars_as_many_as_fit(sizes: list[int], size: int):
    shards = shard_ranges(tars_of(sizes), size)
    lengths = [max(length, 1) for length in sizes]
    ends = set(np.cumsum(lengths).tolist())
    assert [number for shard in shards for number in shard] == list(range(sum(lengths)))
    expected: list[int] = []  # by a plain loop over the tars
    for length in lengths:
        if expected and expected[-1] + length <= size:
            expected[-1] += length
        else:
            expected.append(length)
    assert [len(shard) for shard in shards] == expected
    assert all(shard.stop in ends for shard in shards)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 50), st.integers(1, 60))
def test_files_are_cut_evenly(examples: int, size: int):
    table = pa.table({"path": ["same.mp4"] * examples})
    shards = shard_ranges(Manifest(Path("m.csv"), Path(), TableBatches(table), ""), size)
    assert [list(shard) for shard in shards] == [
        list(range(examples))[first : first + size] for first in range(0, examples, size)
    ]
