"""Prediction: examples → the highest-scoring classes of each, as text with the scores of every view, or as a table."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.config import Runtime
from vidsemi.data.batches import TableBatches
from vidsemi.data.formats.media_files import is_utf8, media_files
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest, Row, load_manifest
from vidsemi.data.reachable import Dataset, Rows
from vidsemi.data.shards import shard_ranges
from vidsemi.inference.predictions import Predicted, write_predictions
from vidsemi.inference.score import score_manifest
from vidsemi.inference.score_directory import PLAN, ScoreDirectory
from vidsemi.inference.score_views import VideoScore, score_examples
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json
from vidsemi.io.progress import progress_bar
from vidsemi.io.store import LocalStore, Place, is_remote, parse_place
from vidsemi.models.trained import Trained, open_trained
from vidsemi.runtime.device import worker_count
from vidsemi.selection.score_format import read_plan
from vidsemi.selection.score_writer import top_classes

SHARD_SIZE = 250  # examples of which a killed worker loses the predictions at most
SCORES = ".scores"  # suffix of the folder beside a table of predictions
MANIFESTS = (".csv", ".parquet")


@dataclass(frozen=True)
class Prediction:
    """Predicted classes of an example, the highest-scoring first.

    Args:
        row: the example: its path, trim and so on.
        classes: names of the classes.
        scores: their softmax scores, (classes,) float32, the mean over the views.
        views: each view's own scores of these classes, (V, classes) float32.
        error: why the file cannot be read; None if it can. The three above are empty if it cannot.
    """

    row: Row
    classes: list[str]
    scores: np.ndarray
    views: np.ndarray
    error: str | None = None

    @property
    def label(self) -> str | None:
        """The class with the highest score; None if the file cannot be read."""
        return self.classes[0] if self.classes else None

    @property
    def path(self) -> str:
        """The file; "video 0" and so on for frames in memory."""
        return self.row.path

    @property
    def name(self) -> str:
        """The path, with the file in a tar and the seconds of a trim."""
        row = self.row
        member = f" {row.member}" if row.member else ""
        trimmed = row.start is not None or row.end is not None
        return f"{row.path}{member}" + (f" {row.start or 0:g}–{'' if row.end is None else f'{row.end:g}'} s" * trimmed)

    def document(self) -> dict[str, Any]:
        """Return the prediction as a JSON object."""
        place = {name: getattr(self.row, name) for name in ("member", "start", "end")}
        about = {"path": self.row.path, **{name: value for name, value in place.items() if value is not None}}
        if self.error is not None:
            return {**about, "error": self.error}
        top = [
            {"label": name, "score": float(score), "views": own.tolist()}
            for name, score, own in zip(self.classes, self.scores, self.views.T, strict=True)
        ]
        return {**about, "top": top}


def examples_to_predict(paths: list[str], manifest: Place | None = None, root: Place | None = None) -> Dataset:
    """Return the examples of a manifest, or those of videos, images, URIs, and the videos and images in folders.

    Args:
        paths: of files and folders; none, or a manifest alone, for a manifest. Files of a folder come in alphabetical
            order.
        manifest: the manifest.
        root: folder that the paths of a manifest are relative to, by default its own.

    Raises:
        UserError: a path does not exist, or a manifest is invalid.
    """
    if len(paths) == 1 and Path(paths[0]).suffix in MANIFESTS and (is_remote(paths[0]) or Path(paths[0]).is_file()):
        manifest = parse_place(paths[0])
    if manifest is not None:
        return load_manifest(manifest, root)
    if root is not None:
        raise UserError("predict.unused_root", "--root is for the paths of a manifest; leave it out for files")
    return Rows([Row(number, file) for number, file in enumerate(_files(paths))])


def predict_examples(
    *,
    weights: Path | Trained,
    dataset: Dataset,
    views: int,
    crops: int = 1,
    top: int | None,
    runtime: Runtime,
    decoder: Decoder = "pyav",
) -> list[Prediction]:
    """Predict the `top` classes of each example, or all, in order.

    Raises:
        UserError: no example can be read.
    """
    trained = open_trained(weights, decoder)
    network, spec = trained.network, trained.spec
    runtime = runtime.model_copy(update={"workers": min(worker_count(runtime), len(dataset))})
    examples = range(len(dataset))
    results = score_examples(network, spec.input, examples, dataset, views=views, crops=crops, runtime=runtime)
    top, predictions = len(spec.classes) if top is None else top, []
    with closing(results) as scores, progress_bar(len(dataset), "file", "predict", delay=2) as bar:
        for score in scores:
            predictions.append(_prediction(dataset.row(score.example_id), score, spec.classes, top))
            bar.update()
    if all(prediction.error for prediction in predictions):
        first = predictions[0]
        raise UserError(
            "predict.nothing_readable", f"no file can be read; the first is {first.row.path}: {first.error}"
        )
    return predictions


def as_manifest(dataset: Dataset) -> Manifest:
    """Return examples as a manifest; those that are not are paths alone.

    Raises:
        UserError: the name of a file is not UTF-8.
    """
    if isinstance(dataset, Manifest):
        return dataset
    paths = [dataset.row(number).path for number in range(len(dataset))]
    if odd := [path for path in paths if not is_utf8(path)]:
        name = os.fsencode(odd[0]).decode("utf-8", "backslashreplace")
        raise UserError("predict.not_utf8", f"no table can store the name {name}, which is not UTF-8; rename the file")
    table = pa.table({"path": pa.array(paths, pa.string())})
    return Manifest(Path(paths[0]), Path(), TableBatches(table), fingerprint_json(paths))


def predict_to_table(
    output: Path,
    *,
    weights: Path | Trained,
    manifest: Manifest,
    views: int,
    crops: int = 1,
    top: int,
    runtime: Runtime,
    decoder: Decoder = "pyav",
    retry_failures: str | None = None,
) -> dict[str, Any]:
    """Predict the `top` classes of each example in float32 and write them as `write_predictions` does.

    The scores go to the folder `output` with the suffix .scores first. Several workers may share the work, and a killed
    one resumes: see `score_manifest`, also for `retry_failures`. Each worker writes the same table once all is scored.

    Returns:
        files and counts, for the command line.

    Raises:
        UserError: the folder has scores of other examples or weights, or no example can be read.
    """
    folder = output.with_suffix(SCORES)
    metrics = score_manifest(
        folder,
        weights=weights,
        manifest=manifest,
        views=views,
        crops=crops,
        per_example=top,
        shard_size=SHARD_SIZE,
        precision="float32",
        runtime=runtime,
        title="predict",
        decoder=decoder,
        retry_failures=retry_failures,
    )
    directory = ScoreDirectory(LocalStore(folder), read_plan(folder / PLAN))
    info = directory.info
    write_predictions(output, manifest, info.classes, info.per_example, _predicted(directory, manifest))
    counts = {"examples": len(manifest), "failed": metrics["failed"], "top": info.per_example}
    return {"predictions": str(output), "scores": str(folder), **counts}


def _predicted(directory: ScoreDirectory, manifest: Manifest) -> Iterator[Predicted]:
    for number, examples in enumerate(shard_ranges(manifest, SHARD_SIZE)):
        errors = {example: error for example, _, error in directory.failures(number)}
        yield Predicted(examples, *directory.read(number), errors)


def _files(paths: list[str]) -> list[str]:
    files: list[str] = []
    for path in paths:
        if "://" in path:
            files.append(path)
        elif Path(path).is_dir():
            files += map(str, media_files(Path(path)))
        elif Path(path).exists():
            files.append(path)
        else:
            raise UserError("predict.not_found", f"file not found: {path}")
    return files


def _prediction(row: Row, score: VideoScore, classes: list[str], top: int) -> Prediction:
    if score.views is None or score.probabilities is None:
        return Prediction(row, [], np.zeros(0), np.zeros((0, 0)), score.error)
    labels, scores = top_classes(score.probabilities[None], top)
    return Prediction(row, [classes[label] for label in labels[0]], scores[0], score.views[:, labels[0]])
