"""Training, evaluation, --verify and hashes from an object store: what they give from disk."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.csv
import pytest
import torch
from PIL import Image

import vidsemi
from tests.api.test_train import RECIPE, fresh, tensors
from tests.helpers.builders import paths_of
from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server, s3_server
from vidsemi.cli import main as cli
from vidsemi.data import look
from vidsemi.data.dedup.frame_hashes import hash_file
from vidsemi.data.formats.media_files import MEDIA_SUFFIXES
from vidsemi.data.manifest import Row
from vidsemi.data.preview import make_preview, preview_key
from vidsemi.data.read import read_frames
from vidsemi.data.verify import describe
from vidsemi.io import remote_file, store_patience
from vidsemi.io.errors import DecodeError
from vidsemi.io.remote_file import is_reachable

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_thread")]
ROOT = "s3://bucket/shapes"


@pytest.fixture(scope="module")
def running(shapes: Path) -> Iterator[S3Server]:
    with s3_server() as server:
        for manifest in ("labeled.csv", "test.csv"):
            for path in (manifest, *paths_of(shapes / manifest)):
                server.client().upload_file(str(shapes / path), "bucket", f"shapes/{path}")
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    monkeypatch.setattr(store_patience, "LONGEST_DELAY", 0.01)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    yield running
    running.fault = lambda method, path: None


@pytest.mark.slow
def test_training_and_evaluation(server: S3Server, shapes: Path, tmp_path: Path):
    """Three steps with a worker, which may not be forked from this process, that has read the manifest there."""
    local = vidsemi.Manifest.read(shapes / "labeled.csv")
    remote = vidsemi.Manifest.read(f"{ROOT}/labeled.csv")
    assert remote.fingerprint == local.fingerprint
    cpu = {"device": "cpu", "workers": 1}
    for name, manifest in (("disk", local), ("bucket", remote)):
        vidsemi.train(fresh(local), manifest, tmp_path / name, examples=24, **RECIPE, **cpu)
    weights = tensors(tmp_path / "disk" / "weights.pt")
    assert all(torch.equal(value, weights[name]) for name, value in tensors(tmp_path / "bucket" / "weights.pt").items())
    model = tmp_path / "disk" / "weights.pt"
    found = [
        vidsemi.evaluate(model, manifest, root=root, views=2, **cpu)
        for manifest, root in (
            (shapes / "test.csv", None),
            (f"{ROOT}/test.csv", None),
            (shapes / "test.csv", ROOT),
        )
    ]
    assert found[0] == found[1] == found[2] and found[0].read == 16


@pytest.mark.slow
def test_a_bucket_that_refuses_ends_training(
    server: S3Server, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the reason, whatever the number of files that are tried in place of one."""
    local = vidsemi.Manifest.read(shapes / "labeled.csv", ROOT)
    asked: list[str] = []
    server.fault = lambda method, path: asked.append(path) or ("expired" if len(asked) > 10 else None)
    with refused("store.refused", "ExpiredToken"):
        vidsemi.train(fresh(local), local, tmp_path / "a", examples=24, **RECIPE, device="cpu", workers=0)
    monkeypatch.setattr(look, "STORE_SECONDS", 0.0)
    monkeypatch.setattr(remote_file, "SHORT_PATIENCE", 0.0)
    server.fault = lambda method, path: "throttled"
    with refused("files.none_reachable", "SlowDown"):
        vidsemi.train(fresh(local), local, tmp_path / "b", examples=24, **RECIPE, device="cpu", workers=0)


@pytest.mark.slow
def test_verify(server: S3Server, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["manifest", "table", f"{ROOT}/labeled.csv", "--verify", "--workers", "1"]) == 0
    remote = pyarrow.csv.read_csv("labeled.files.csv")
    (tmp_path / "m.csv").write_text((shapes / "labeled.csv").read_text())
    assert cli.main(["manifest", "table", "m.csv", "--root", str(shapes), "--verify", "--workers", "1"]) == 0
    local = pyarrow.csv.read_csv("m.files.csv")
    assert remote.drop_columns("path").equals(local.drop_columns("path"))
    assert remote.column("path")[0].as_py() == f"{ROOT}/{paths_of(shapes / 'labeled.csv')[0]}"


def test_hashes_and_previews(server: S3Server, shapes: Path):
    local = vidsemi.Manifest.read(shapes / "labeled.csv").row(3)
    remote = vidsemi.Manifest.read(shapes / "labeled.csv", ROOT).row(3)
    asked: list[str] = []
    server.fault = lambda method, path: asked.append(path)
    assert hash_file(remote) == hash_file(local) and len(asked) == 1
    assert make_preview(remote) == make_preview(local) and len(preview_key(remote)) == 32


def test_addresses_where_only_files_of_this_machine_can_be(
    server: S3Server, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = ["--output", str(tmp_path / "m.csv")]
    for words, code in (
        (["manifest", "folder", "--root", ROOT, *output], "manifest.remote_files"),
        (["manifest", "table", f"{ROOT}/labeled.csv", *output], "manifest.remote_files"),
    ):
        assert cli.main(words) == 2
        assert f"[{code}]" in capsys.readouterr().err
    assert not list(tmp_path.glob("m*"))


def test_a_part_of_a_long_video_takes_a_part_of_its_bytes(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All of it is fetched once, however often decoding reads it."""
    for name, size in {"FIRST": 1 << 15, "LEAST": 1 << 13, "MOST": 1 << 17, "KEPT": 1 << 19}.items():
        monkeypatch.setattr(remote_file, name, size)
    video, noise = tmp_path / "long.mp4", np.random.default_rng(0)
    with av.open(str(video), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"g": "10", "preset": "ultrafast", "qp": "20"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(400):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(noise.integers(0, 256, (64, 96, 3), np.uint8))))
        output.mux(stream.encode(None))
    server.client().upload_file(str(video), "bucket", "long.mp4")
    fetched: list[int] = []
    get = remote_file._read_range
    monkeypatch.setattr(remote_file, "_read_range", lambda *words: fetched.append(words[2] - words[1]) or get(*words))

    def middle(n: int) -> np.ndarray:
        return np.arange(4) + n // 2

    total = video.stat().st_size
    assert total > 1_000_000
    for trim, exact, least, most in (
        ((None, None), False, 0, 0.4),
        ((4.0, 4.4), True, 0, 0.4),
        ((None, None), True, 1, 1),
    ):
        rows = [Row(0, path, *trim) for path in (str(video), "s3://bucket/long.mp4")]
        monkeypatch.setattr("vidsemi.data.video.packets.KEEP_BYTES", 1 << 16)  # so that the file is read again
        fetched.clear()
        one, other = (read_frames(row, middle, size=(32, 48), exact=exact) for row in rows)
        assert np.array_equal(one, other) and least <= sum(fetched) / total <= most


def test_folders_of_frames(server: S3Server, tmp_path: Path):
    dice = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(dice.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / f"f_{number:05d}.png")
        server.client().upload_file(str(tmp_path / f"f_{number:05d}.png"), "bucket", f"frames/a/f_{number:05d}.png")
    local, remote = (
        Row(0, path, start=0.5, frames_per_second=10.0) for path in (str(tmp_path), "s3://bucket/frames/a")
    )
    assert remote.is_frame_folder and not Row(0, "s3://bucket/a.mp4", frames_per_second=10.0).is_frame_folder
    asked: list[str] = []
    server.fault = lambda method, path: asked.append(path)
    frames = [read_frames(row, lambda n: np.array([1, n - 1, 1]), size=(10, 15)) for row in (local, remote)]
    assert np.array_equal(*frames) and len(asked) == 3  # a list and two frames
    assert describe(remote) == describe(local) and hash_file(remote) == hash_file(local)
    assert is_reachable(remote.path, True, 0.0) and not is_reachable("s3://bucket/frames/b", True, 0.0)
    with pytest.raises(DecodeError) as error:
        read_frames(Row(0, "s3://bucket/frames/b", frames_per_second=10.0), np.arange, size=8)
    assert error.value.code == "file.not_served"


@pytest.mark.slow
def test_real_files(server: S3Server, real_data: Path):
    """Intact and odd ones: the same frames, descriptions and errors, with one request."""

    def attempt(function: Callable[..., Any], *words: Any) -> Any:
        try:
            return function(*words)
        except DecodeError as error:
            return error.code, error.reason

    def frames(row: Row, exact: bool) -> Any:
        read = read_frames(row, lambda n: np.linspace(0, n - 1, 6).astype(int), size=(64, 80), exact=exact)
        return read.shape, read.tobytes()

    files = [file for file in sorted(real_data.rglob("*")) if file.suffix.lower() in MEDIA_SUFFIXES]
    for file in files[::60]:
        server.fault = lambda method, path: None
        server.client().upload_file(str(file), "bucket", f"real/{file.name}")
        asked: list[str] = []
        server.fault = lambda method, path, asked=asked: asked.append(path)
        local, remote = Row(0, str(file)), Row(0, f"s3://bucket/real/{file.name}")
        for exact in (True, False):
            assert attempt(frames, remote, exact) == attempt(frames, local, exact), file
        assert attempt(describe, remote) == attempt(describe, local), file
        assert len(asked) == 3 * math.ceil(file.stat().st_size / (4 << 20)), file


@pytest.mark.slow
def test_a_bucket_of_scores_on_a_page_and_weights_by_address(
    server: S3Server, shapes: Path, untrained_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    server.client().upload_file(str(untrained_weights), "bucket", "w.pt")
    words = ["--manifest", f"{ROOT}/labeled.csv", "--views", "1", "--workers", "0", "--device", "cpu"]
    assert cli.main(["score", "--weights", "s3://bucket/w.pt", *words, "--output", "s3://bucket/scores"]) == 0
    rule = ["--per-class", "2", "--per-example", "1", "--output", str(tmp_path / "s.parquet")]
    assert cli.main(["select", "--scores", "s3://bucket/scores", *rule]) == 0
    page = ["browse", str(tmp_path / "s.parquet"), "--manifest", f"{ROOT}/labeled.csv"]
    assert cli.main([*page, "--scores", "s3://bucket/scores"]) == 0
    assert "dashed frame is the first that was not selected" in (tmp_path / "s.html").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--weights", "w.pt", "--manifest", "m.csv", "--by-class", "s3://bucket/c.csv"],
        ["export", "--weights", "s3://bucket/w.pt", "--format", "onnx"],
        ["run", "--cfg", "demo.yaml", "output=s3://bucket/run"],
    ],
    ids=lambda words: words[0],
)
def test_other_files_are_those_of_this_machine(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "s3://bucket/" in printed and "address" in printed
