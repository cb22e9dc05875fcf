"""Prediction: files → the best classes of each, with the scores of every view."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.config import Runtime
from vidsemi.data.formats.media_files import media_files
from vidsemi.data.manifest import Row
from vidsemi.inference.score_views import VideoScore, score_rows
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.runtime.device import worker_count
from vidsemi.selection.score_writer import top_classes


@dataclass(frozen=True)
class Prediction:
    """What a network says of a file.

    Attributes:
        path: of the file.
        classes: names of the best classes, the best first.
        scores: (classes,) float32, the mean over the views.
        views: (V, classes) float32, each view's own scores of these classes.
        error: why there is nothing of the above.
    """

    path: str
    classes: list[str]
    scores: np.ndarray
    views: np.ndarray
    error: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
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
    """Predict the classes of files.

    Args:
        weights: of the network.
        paths: videos, images, addresses, or folders of videos and images.
        views: clips a video; an image has one.
        crops: of each clip: 1, the centre, or 10.
        top: classes wanted of each.
        runtime: what to run on.

    Returns:
        One a file, in the order of the paths; those of a folder in alphabetical order.

    Raises:
        UserError: a path is not there, or not one file can be read.
    """
    network, spec = weights_file.load_weights(weights)
    rows = [Row(number, file) for number, file in enumerate(_files(paths))]
    runtime = runtime.model_copy(update={"workers": min(worker_count(runtime), len(rows))})
    results = score_rows(
        network, spec.input, range(len(rows)), rows.__getitem__, views=views, crops=crops, runtime=runtime
    )
    found = []
    with closing(results) as scores, progress_bar(len(rows), "file", "predict", delay=2) as bar:
        for score in scores:
            found.append(_prediction(rows[score.example_id].path, score, spec.classes, top))
            bar.update()
    if all(prediction.error for prediction in found):
        raise UserError(f"not one file can be read; the first is {found[0].path}: {found[0].error}")
    return found


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
            raise UserError(f"there is no file {path}")
    return files


def _prediction(path: str, score: VideoScore, classes: list[str], top: int) -> Prediction:
    if score.views is None or score.probabilities is None:
        return Prediction(path, [], np.zeros(0), np.zeros((0, 0)), score.error)
    labels, scores = top_classes(score.probabilities[None], top)
    return Prediction(path, [classes[label] for label in labels[0]], scores[0], score.views[:, labels[0]])
