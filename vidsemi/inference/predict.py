"""Prediction: files → the highest-scoring classes of each, with the scores of every view."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.config import Runtime
from vidsemi.data.formats.media_files import media_files
from vidsemi.data.manifest import Row
from vidsemi.data.reachable import Rows
from vidsemi.inference.score_views import VideoScore, score_examples
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.runtime.device import worker_count
from vidsemi.selection.score_writer import top_classes


@dataclass(frozen=True)
class Prediction:
    """Predicted classes of a file, the highest-scoring first."""

    path: str
    classes: list[str]
    scores: np.ndarray  # (classes,) float32, the mean over the views
    views: np.ndarray  # (V, classes) float32, each view's own scores of these classes
    error: str | None = None  # why the file cannot be read; the attributes above are empty then

    def document(self) -> dict[str, Any]:
        """Return the prediction as a JSON object."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        top = [
            {"label": name, "score": float(score), "views": own.tolist()}
            for name, score, own in zip(self.classes, self.scores, self.views.T, strict=True)
        ]
        return {"path": self.path, "top": top}


def predict_files(
    *, weights: Path, paths: list[str], views: int, crops: int = 1, top: int, runtime: Runtime
) -> list[Prediction]:
    """Predict the `top` classes of videos, images, URIs, and the videos and images in folders.

    Returns:
        One prediction per file, in the order of the paths; those of a folder in alphabetical order.

    Raises:
        UserError: a path does not exist, or no file can be read.
    """
    network, spec = weights_file.load_weights(weights)
    rows = [Row(number, file) for number, file in enumerate(_files(paths))]
    runtime = runtime.model_copy(update={"workers": min(worker_count(runtime), len(rows))})
    results = score_examples(
        network, spec.input, range(len(rows)), Rows(rows), views=views, crops=crops, runtime=runtime
    )
    predictions = []
    with closing(results) as scores, progress_bar(len(rows), "file", "predict", delay=2) as bar:
        for score in scores:
            predictions.append(_prediction(rows[score.example_id].path, score, spec.classes, top))
            bar.update()
    if all(prediction.error for prediction in predictions):
        first = predictions[0]
        raise UserError("predict.nothing_readable", f"no file can be read; the first is {first.path}: {first.error}")
    return predictions


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


def _prediction(path: str, score: VideoScore, classes: list[str], top: int) -> Prediction:
    if score.views is None or score.probabilities is None:
        return Prediction(path, [], np.zeros(0), np.zeros((0, 0)), score.error)
    labels, scores = top_classes(score.probabilities[None], top)
    return Prediction(path, [classes[label] for label in labels[0]], scores[0], score.views[:, labels[0]])
