"""Scoring and evaluation against plain references."""

from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.normalize import normalize
from vidsemi.data.views import ViewReader, ViewRequest
from vidsemi.data.worker_pool import read_all
from vidsemi.inference.accuracy import accuracy, rank_of_label
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.inference.model import Inference
from vidsemi.inference.score import score_manifest
from vidsemi.inference.score_views import VideoScore, Views, score_videos
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.models import weights_file
from vidsemi.selection.score_format import ScoreRows

CPU = Runtime(device="cpu", workers=0, clips_per_forward=7)


def reference(weights: Path, file: str, views: int) -> np.ndarray:
    """The definition, written out: forward decode, explicit indices, softmax(...).mean(0)."""
    network, _ = weights_file.load_weights(weights)
    with av.open(file, metadata_errors="replace") as container:
        frames = np.stack(
            [
                frame.reformat(width=24, height=20, format="gbrp", interpolation="BILINEAR").to_ndarray()
                for frame in container.decode(video=0)
            ]
        )
    n = len(frames)
    clips = []
    for i in range(views):
        start = int(np.floor(i * (n - 4) / (views - 1)))
        clip = frames[[min(start + t, n - 1) for t in range(4)], 2:18, 4:20] / 255
        clips.append((clip - np.array([0.4, 0.5, 0.3])) / np.array([0.2, 0.25, 0.3]))
    x = torch.tensor(np.stack(clips).transpose(0, 4, 1, 2, 3), dtype=torch.float32)
    with torch.no_grad():
        return network.eval()(x).softmax(1).mean(0).numpy()


def score(folder: Path, weights: Path, manifest: Manifest, **changes: object) -> dict[str, Any]:
    options = {"per_example": 8, "shard_size": 5, "precision": "float32", "runtime": CPU, "title": "score"}
    return score_manifest(folder, weights=weights, manifest=manifest, **{**options, **changes})


def read_scores(folder: Path) -> ScoreRows:
    table = pq.read_table(sorted(folder.glob("part-*.parquet")))
    return ScoreRows(*(table.column(name).to_numpy() for name in ("example_id", "label", "score")))


@pytest.mark.slow
def test_scores_equal_the_plain_reference(tmp_path: Path, shapes: Path, weights: Path):
    manifest = load_manifest(shapes / "test.csv")
    for workers, folder in ((0, tmp_path / "a"), (2, tmp_path / "b")):
        runtime = CPU.model_copy(update={"workers": workers})
        metrics = score(folder, weights, manifest, views=3, runtime=runtime)
        assert metrics == {"scored": 16, "failed": 0, "shards": 4, "precision": "float32"}
        scores = read_scores(folder)
        assert scores.example_id.reshape(-1, 8)[:, 0].tolist() == list(range(16))
        for example in range(16):
            expected = reference(weights, manifest.row(example).path, 3)
            own = slice(8 * example, 8 * example + 8)
            np.testing.assert_allclose(scores.score[own], expected[scores.label[own]], atol=1e-5)
            assert (np.diff(scores.score[own]) <= 0).all()


def broken_manifest(tmp_path: Path, shapes: Path) -> Path:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    good = [shapes / "test" / f"{number:05d}.mp4" for number in range(3)]
    rows = [
        (good[0], "drifting east"),
        (tmp_path / "broken.mp4", "drifting north"),
        (good[1], "drifting north"),
        (tmp_path / "gone.mp4", "drifting north"),
    ]
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    return tmp_path / "m.csv"


@pytest.mark.slow
def test_scores_of_real_clips_equal_the_plain_reference(tmp_path: Path, weights: Path, real_data: Path):
    clips = [file for file in sorted((real_data / "clips").iterdir()) if file.suffix in (".mp4", ".avi")]
    (tmp_path / "real.csv").write_text("path\n" + "".join(f'"{file}"\n' for file in clips))
    manifest = load_manifest(tmp_path / "real.csv")
    runtime = Runtime(device="cpu", workers=2)
    metrics = score(tmp_path / "s", weights, manifest, views=10, shard_size=6, runtime=runtime)
    assert metrics["scored"] == len(clips) == 13
    scores = read_scores(tmp_path / "s")
    for example, file in enumerate(clips):
        expected = reference(weights, str(file), 10)
        own = slice(8 * example, 8 * example + 8)
        np.testing.assert_allclose(scores.score[own], expected[scores.label[own]], atol=1e-5)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_views_beyond_what_is_read_at_once_take_more_passes_and_change_nothing(
    shapes: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, most: int
):
    manifest = load_manifest(shapes / "test.csv")
    network, spec = weights_file.load_weights(weights)
    infer = Inference(network, spec.input, torch.device("cpu"))
    results = []
    for reader, clips in ((ViewReader(spec.input, 8), 64), (ViewReader(spec.input, 8, most=most), 5)):
        read_views = partial(read_all, reader, workers=0, seconds=60)
        scores = score_videos(
            infer, [range(3), range(3, 7)], manifest.row, reader, read_views=read_views, clips_per_forward=clips
        )
        results.append(list(scores))
    assert [score.example_id for score in results[1]] == list(range(7))
    for one, more in zip(*results, strict=True):
        assert one.views is not None and one.views.shape == (8, 8)
        np.testing.assert_allclose(one.views, more.views, atol=1e-6)


def test_a_video_that_breaks_off_between_passes_is_a_failure(shapes: Path, weights: Path):
    """Of three requests the second fails: the video has no scores, and its neighbors have theirs."""
    manifest = load_manifest(shapes / "test.csv")
    network, spec = weights_file.load_weights(weights)
    reader = ViewReader(spec.input, 6, most=2)

    def read_views(requests: Iterable[ViewRequest]) -> Generator[Views, None, None]:
        for request in requests:
            broken = request.row.example_id == 1 and request.first == 2
            yield DecodeError("image.damaged", request.path, "torn") if broken else reader(request)

    infer = Inference(network, spec.input, torch.device("cpu"))
    scores = list(score_videos(infer, [range(3)], manifest.row, reader, read_views=read_views, clips_per_forward=4))
    assert [score.error for score in scores] == [None, "torn", None]
    assert [score.views is None for score in scores] == [False, True, False]


def test_images_have_one_view(tmp_path: Path, weights: Path):
    Image.new("RGB", (30, 24), (9, 200, 9)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path\na.png\n")
    manifest = load_manifest(tmp_path / "m.csv")
    network, spec = weights_file.load_weights(weights)
    reader = ViewReader(spec.input, 10)
    (request,) = reader.requests(manifest.row(0))
    views = reader(request)
    assert views.shape == (1, 4, 3, 16, 16)  # the image standing still
    assert score(tmp_path / "s", weights, manifest, views=10)["scored"] == 1
    with torch.no_grad():
        expected = network.eval()(normalize(torch.from_numpy(views), spec.input)).softmax(dim=1)[0].numpy()
    scores = read_scores(tmp_path / "s")
    np.testing.assert_allclose(scores.score, expected[scores.label], atol=1e-6)


def test_every_example_is_scored_or_a_failure(tmp_path: Path, shapes: Path, weights: Path):
    manifest = load_manifest(broken_manifest(tmp_path, shapes))
    metrics = score(tmp_path / "s", weights, manifest, views=2, per_example=3, shard_size=2)
    assert metrics == {"scored": 2, "failed": 2, "shards": 2, "precision": "float32"}
    failures = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    assert [(row["example_id"], Path(row["path"]).name) for row in failures] == [(1, "broken.mp4"), (3, "gone.mp4")]
    assert all(row["error"] for row in failures)
    assert sorted(set(read_scores(tmp_path / "s").example_id.tolist())) == [0, 2]


def test_a_video_that_cannot_be_read_counts_as_wrong(tmp_path: Path, shapes: Path, weights: Path):
    manifest = load_manifest(broken_manifest(tmp_path, shapes))
    metrics = evaluate_weights(weights=weights, manifest=manifest, views=3, runtime=CPU, title="evaluate")
    ranks = []
    for example, label in ((0, 0), (2, 1)):
        probabilities = reference(weights, manifest.row(example).path, 3)
        ranks.append(int((probabilities > probabilities[label]).sum()))
    assert (metrics["read"], metrics["total"]) == (2, 4)
    assert metrics["top1"] == pytest.approx(100 * sum(rank < 1 for rank in ranks) / 4)
    assert metrics["top5"] == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 4)
    assert metrics["mean_class_top1"] == pytest.approx(100 * ((ranks[0] < 1) + (ranks[1] < 1) / 3) / 2)
    assert metrics["parameters"] > 0
    assert metrics["gmacs_per_view"] > 0


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=2, max_size=8), st.data())
def test_rank_of_a_label_with_ties(values: list[float], data: st.DataObject):
    label = data.draw(st.integers(0, len(values) - 1))
    order = sorted(range(len(values)), key=lambda index: (-values[index], index))
    assert rank_of_label(np.array(values, np.float32), label) == order.index(label)


def test_a_network_that_gives_nan_is_refused(tmp_path: Path, shapes: Path, weights: Path):
    network, spec = weights_file.load_weights(weights)
    torch.nn.init.constant_(network.fc.weight, float("nan"))
    weights_file.save_weights(tmp_path / "nan.pt", network, spec, {})
    manifest = load_manifest(shapes / "test.csv")
    with pytest.raises(UserError, match="example 0") as error:
        evaluate_weights(weights=tmp_path / "nan.pt", manifest=manifest, views=2, runtime=CPU, title="evaluate")
    assert error.value.code == "scores.not_finite"


def test_mean_class_accuracy_weighs_classes_alike():
    labels = np.array([0] * 9 + [1])
    scores = np.array([0.9, 0.1], np.float32)
    result = accuracy({i: rank_of_label(scores, label) for i, label in enumerate(labels)}, labels)
    assert result.top1 == pytest.approx(90)
    assert result.mean_class_top1 == pytest.approx(50)
    assert result.top5 == pytest.approx(100)


def test_views_of_one_video_are_averaged_after_the_softmax():
    """Mean of softmax and softmax of mean differ here; the first is meant."""
    score = VideoScore(0, torch.tensor([[40.0, 0.0], [0.0, 0.0]]).softmax(dim=1).numpy())
    assert score.probabilities == pytest.approx([0.75, 0.25], abs=1e-6)


@pytest.mark.slow
def test_processes_change_nothing_but_what_hangs(weights: Path, shapes: Path, tmp_path: Path):
    """0 and 2 worker processes, with a file that does not decode among the others, leave the same bytes."""
    lines = (shapes / "test.csv").read_text().splitlines()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows = [f"{shapes}/{line}" for line in lines[1:10]]
    (tmp_path / "m.csv").write_text(
        "\n".join([lines[0], *rows[:4], f"{tmp_path}/broken.mp4,drifting east", *rows[4:]]) + "\n"
    )
    manifest = load_manifest(tmp_path / "m.csv")
    for workers in (0, 2):
        options = {"per_example": 2, "shard_size": 4, "runtime": CPU.model_copy(update={"workers": workers})}
        metrics = score(tmp_path / str(workers), weights, manifest, views=3, **options)
        assert metrics == {"scored": 9, "failed": 1, "shards": 3, "precision": "float32"}
    files = sorted(file.relative_to(tmp_path / "0") for file in (tmp_path / "0").rglob("*.parquet"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "0" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file
