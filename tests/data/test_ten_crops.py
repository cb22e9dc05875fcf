"""Ten crops per clip: against torchvision, and their effect on scores and evaluation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import TenCrop

from vidsemi.cli import main as cli
from vidsemi.config import Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row, load_manifest
from vidsemi.data.normalize import normalize
from vidsemi.data.read import read_frames
from vidsemi.data.transforms import center_crop, ten_crops
from vidsemi.data.views import ViewReader
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.inference.score import score_manifest
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.selection.score_reader import read_info

CPU = Runtime(device="cpu", workers=0, clips_per_forward=7)


def as_set(crops: np.ndarray) -> list[bytes]:
    return sorted(np.ascontiguousarray(crop).tobytes() for crop in crops)


@given(st.integers(1, 12), st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**32))
def test_ten_crops_are_those_of_torchvision(crop: int, more_lines: int, more_columns: int, seed: int):
    shape = (
        2,
        3,
        crop + 2 * more_lines,
        crop + 2 * more_columns,
    )  # centers of odd margins differ
    frames = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    reference = torch.stack(TenCrop(crop)(torch.from_numpy(frames))).numpy()
    crops = ten_crops(frames, crop)
    assert crops.shape == (10, 2, 3, crop, crop)
    assert as_set(crops) == as_set(reference)
    assert np.array_equal(crops[4], center_crop(frames, crop))
    assert np.array_equal(crops[5:], crops[:5, ..., ::-1])


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_corners_of_any_margin(crop: int, lines: int, columns: int):
    frames = np.arange((crop + lines) * (crop + columns)).reshape(1, crop + lines, crop + columns)
    top_left, top_right, bottom_left, bottom_right = ten_crops(frames, crop)[:4, 0]
    assert top_left[0, 0] == frames[0, 0, 0] and top_right[0, -1] == frames[0, 0, -1]
    assert bottom_left[-1, 0] == frames[0, -1, 0] and bottom_right[-1, -1] == frames[0, -1, -1]


@pytest.mark.parametrize("most", [1, 10, 25, 64])
def test_views_are_the_crops_of_each_clip(make_video: Callable[..., Path], most: int):
    row = Row(0, str(make_video("a.mp4", frames=9, size=(64, 96))))
    spec = InputSpec(4, 1, (20, 24), 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    reader = ViewReader(spec, 3, most, crops=10)
    requests = list(reader.requests(row))
    assert [request.first for request in requests] == [0, *(request.stop for request in requests[:-1])]
    assert {request.of for request in requests} == {30} and requests[-1].stop == 30
    parts = [reader(request) for request in requests]
    assert max(map(len, parts)) <= max(most, 10) and all(part.flags.c_contiguous for part in parts)
    frames = read_frames(row, lambda n: np.arange(n), size=(20, 24))
    expected = [ten_crops(frames[start : start + 4], 16) for start in (0, 2, 5)]
    assert np.array_equal(np.concatenate(parts), np.concatenate(expected))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A manifest of images of several widths, one of them damaged."""
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 40 + 20 * number, 3), dtype=np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    labels = ["drifting east", "drifting west", "drifting north", "drifting south"]
    lines = [f"{name},{label}" for name, label in zip(["0.png", "1.png", "2.png", "torn.jpg"], labels, strict=True)]
    (tmp_path / "images.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    return tmp_path / "images.csv"


def reference(weights: Path, row: Row) -> np.ndarray:
    """Softmax of each of torchvision's crops, then the mean."""
    network, spec = weights_file.load_weights(weights)
    frames = torch.from_numpy(read_frames(row, lambda n: np.zeros(4, int), size=spec.input.resize))
    crops = torch.stack(TenCrop(16)(frames))
    with torch.no_grad():
        return network.eval()(normalize(crops, spec.input)).softmax(1).mean(0).numpy()


@pytest.mark.slow
def test_scores_are_the_mean_of_ten_softmaxes(tmp_path: Path, images: Path, weights: Path):
    manifest = load_manifest(images)
    options = {"views": 10, "per_example": 8, "shard_size": 9, "precision": "float32", "runtime": CPU, "title": "score"}
    figures = score_manifest(tmp_path / "s", weights=weights, manifest=manifest, crops=10, **options)
    assert (figures["scored"], figures["failed"]) == (3, 1)
    table = pq.read_table(tmp_path / "s" / "part-000000.parquet").to_pydict()
    for example in range(3):
        expected = reference(weights, manifest.row(example))
        rows = slice(8 * example, 8 * example + 8)
        np.testing.assert_allclose(table["score"][rows], expected[table["label"][rows]], atol=1e-6)
    info = read_info(tmp_path / "s" / "part-000000.parquet")
    assert (info.views, info.crops) == (10, 10)
    with pytest.raises(UserError, match="crops 10") as caught:
        score_manifest(tmp_path / "s", weights=weights, manifest=manifest, **options)
    assert caught.value.code == "scores.plan_mismatch"


@pytest.mark.slow
@pytest.mark.parametrize("crops", [1, 10])
def test_metrics_report_the_actual_number_of_views(crops: int, images: Path, weights: Path):
    """An image has one clip, whatever the number of views."""
    manifest = load_manifest(images)
    figures = evaluate_weights(weights=weights, manifest=manifest, views=5, crops=crops, runtime=CPU, title="evaluate")
    assert (figures["read"], figures["total"], figures["views"], figures["crops"]) == (3, 4, crops, crops)
    assert figures["gmacs_per_video"] == pytest.approx(crops * figures["gmacs_per_view"])
    if crops == 10:
        best = [reference(weights, manifest.row(example)).argmax() for example in range(3)]
        labels = manifest.label_indices(weights_file.load_weights(weights)[1].classes, "")
        assert figures["top1"] == pytest.approx(100 * sum(best == labels[:3]) / 4)


@pytest.mark.slow
def test_videos_have_clips_times_crops(shapes: Path, weights: Path):
    manifest = load_manifest(shapes / "test.csv")
    figures = evaluate_weights(weights=weights, manifest=manifest, views=2, crops=10, runtime=CPU, title="evaluate")
    assert (figures["views"], figures["crops"]) == (20, 10)


@pytest.mark.slow
def test_crops_on_the_command_line(images: Path, weights: Path, capsys: pytest.CaptureFixture):
    words = ["--weights", str(weights), "--workers", "0", "--device", "cpu", "--json"]
    assert cli.main(["evaluate", "--manifest", str(images), "--crops", "10", *words]) == 0
    assert json.loads(capsys.readouterr().out)["views"] == 10
    assert cli.main(["predict", str(images.parent / "0.png"), "--crops", "10", *words]) == 0
    top = json.loads(capsys.readouterr().out)["files"][0]["top"]
    assert len(top[0]["views"]) == 10
    assert cli.main(["evaluate", "--manifest", str(images), "--crops", "5", *words]) == 2
