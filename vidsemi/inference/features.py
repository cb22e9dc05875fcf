"""The features stage: weights and manifests → what the layer before the head says of each example, kept as Parquet.

The examples of all manifests together are cut into parts. A part that is there is whole, so a stage that was killed
goes on with the next one; and no pass through the network has clips of two parts, so they do not depend on who makes
them.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference
from vidsemi.inference.score_views import VideoScore, reading_in_processes, score_videos
from vidsemi.io.files import atomic_path, remove_temporary
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.models.features import head_name, take_head_off
from vidsemi.models.registry import head_keys
from vidsemi.runtime.device import clips_per_forward, pick_device
from vidsemi.runtime.distributed import done_by_first, first_before_others, gather, processes

logger = logging.getLogger("vidsemi")

PART = 256  # examples; what a kill loses at most
SCHEMA = pa.schema(
    [("path", pa.string()), ("features", pa.list_(pa.float32())), ("views", pa.int32()), ("error", pa.string())]
)


def distinct_rows(manifests: Sequence[Manifest]) -> tuple[list[Row], list[np.ndarray]]:
    """The examples of several manifests, each once, as the three splits of a dataset share their videos.

    Returns:
        The rows, numbered by their places in this list; and for each manifest the place of each of its examples.
    """
    places: dict[Row, int] = {}
    of_manifest = []
    for manifest in manifests:
        rows = (replace(manifest.row(example_id), example_id=0) for example_id in range(len(manifest)))
        of_manifest.append(np.array([places.setdefault(row, len(places)) for row in rows]))
    return [replace(row, example_id=place) for row, place in places.items()], of_manifest


def extract_features(
    folder: Path, *, weights: Path, manifests: Sequence[Manifest], views: int, runtime: Runtime, title: str
) -> dict[str, Any]:
    """Extract features in float32; of several processes each makes its share of the parts.

    Those of a video are the mean over its views, as if the network's own average over time went on over all of them.

    Args:
        folder: of the stage, for `part-NNNNNN.parquet`: path, features, of how many views, why there are none.
        weights: of the network.
        manifests: of the examples; one that stands in several is read once.
        views: clips a video; an image has one view.
        runtime: what to run on.
        title: for the progress bar.

    Returns:
        examples, how many of them were read, and the most views that any has; if none was read, what was asked for.

    Raises:
        UserError: the network's head is not one linear layer.
    """
    with first_before_others():
        network, spec = weights_file.load_weights(weights)
    keys = head_keys(spec.model, frames=spec.input.frames, args=spec.args)
    take_head_off(network, head_name(keys, network, spec.model))
    rows, _ = distinct_rows(manifests)
    done_by_first(lambda: remove_temporary(folder))
    own = processes()
    todo = [part for part in range(-(-len(rows) // PART)) if not _file(folder, part).exists()]
    gather(None)  # all have looked before anyone writes
    mine = [range(part * PART, min((part + 1) * PART, len(rows))) for part in todo[own.rank :: own.size]]
    if mine:
        reader, device = ViewReader(spec.input, views), pick_device(runtime)
        most = clips_per_forward(runtime, device)
        results = score_videos(
            Inference(network, spec.input, device, softmax=False),
            mine,
            rows.__getitem__,
            reader,
            reading=reading_in_processes(reader, runtime, most, rows[mine[0][0]]),
            clips_per_forward=most,
        )
        with closing(results), progress_bar(sum(map(len, mine)), "example", title) as bar:
            for part in mine:
                _write(_file(folder, part.start // PART), rows, _counted(results, len(part), bar))
    gather(None)
    table = _read_table(folder, len(rows), ["error", "views"])
    read, most_views = int(table.column("error").null_count), pc.max(table.column("views")).as_py()
    if own.first and read < len(rows):
        logger.warning("%s: only %d of %d examples can be read", title, read, len(rows))
    return {"examples": len(rows), "read": read, "views": most_views or views}


def read_features(folder: Path, manifests: Sequence[Manifest], wanted: slice = slice(None)) -> list[np.ndarray]:
    """What `extract_features` has left. Parts are read one by one, and only those that hold an example that is wanted.

    Args:
        folder: of the stage.
        manifests: that the stage had.
        wanted: which of them.

    Returns:
        For each that is wanted an array (N, width) float32; the row of an example that could not be read is not a
        number. The width is 0 if none of its examples could be read.
    """
    _, places = distinct_rows(manifests)
    return [_features_of(folder, own) for own in places[wanted]]


def _features_of(folder: Path, places: np.ndarray) -> np.ndarray:
    """The features of the examples with these numbers; one array of its size is all the memory that it takes."""
    features = np.zeros((len(places), 0), np.float32)
    order = np.argsort(places)
    parts, starts = np.unique(places[order] // PART, return_index=True)
    for part, examples in zip(parts, np.split(order, starts[1:]), strict=True):
        column = pq.read_table(_file(folder, part), columns=["features"]).column("features").combine_chunks()
        there = column.is_valid().to_numpy(zero_copy_only=False)
        if not there.any():
            continue
        known = column.flatten().to_numpy().reshape(int(there.sum()), -1)
        if not features.shape[1]:
            features = np.full((len(places), known.shape[1]), np.nan, np.float32)
        block = np.full((len(there), known.shape[1]), np.nan, np.float32)
        block[there] = known
        features[examples] = block[places[examples] - part * PART]
    return features


def _file(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"


def _counted(scores: Iterator[VideoScore], number: int, bar: Any) -> list[VideoScore]:
    """The next so many, while the bar moves on."""
    found = []
    for _ in range(number):
        found.append(next(scores))
        bar.update()
    return found


def _write(file: Path, rows: Sequence[Row], scores: Sequence[VideoScore]) -> None:
    columns = {
        "path": [rows[score.example_id].member or rows[score.example_id].path for score in scores],
        "features": [score.probabilities for score in scores],  # the mean over the views
        "views": [None if score.views is None else len(score.views) for score in scores],
        "error": [score.error for score in scores],
    }
    with atomic_path(file) as temporary:
        pq.write_table(pa.table(columns, SCHEMA), temporary, compression="zstd")


def _read_table(folder: Path, examples: int, columns: list[str]) -> pa.Table:
    return pa.concat_tables(pq.read_table(_file(folder, part), columns=columns) for part in range(-(-examples // PART)))
