"""Features: weights and manifests → the output of the layer before the head for each example, as Parquet.

The distinct examples of all manifests are cut into shards. A shard that exists is whole, so a killed stage resumes with
the next one. No forward pass has clips of two shards, so the features do not depend on who computes them.
"""

import logging
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.config import Runtime
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.reachable import Rows
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference
from vidsemi.inference.score_views import VideoScore, read_in_processes, score_videos
from vidsemi.io.files import remove_temporary
from vidsemi.io.parquet import read_own_parquet, write_parquet
from vidsemi.io.progress import progress_bar
from vidsemi.models import weights_file
from vidsemi.models.features import head_name, remove_head
from vidsemi.runtime.device import clips_per_forward, pick_device
from vidsemi.runtime.distributed import done_by_first, first_before_others, gather, processes

logger = logging.getLogger("vidsemi")

SHARD_SIZE = 256  # examples; what a kill loses at most
SCHEMA = pa.schema(
    [("path", pa.string()), ("features", pa.list_(pa.float32())), ("views", pa.int32()), ("error", pa.string())]
)


def distinct_rows(manifests: Sequence[Manifest]) -> tuple[list[Row], list[np.ndarray]]:
    """Return the examples of several manifests once each, and for each manifest the places of its own among them.

    The splits of a dataset share their videos. The rows are numbered by their places.
    """
    places: dict[Row, int] = {}
    of_manifest = []
    for manifest in manifests:
        rows = (replace(manifest.row(example_id), example_id=0) for example_id in range(len(manifest)))
        of_manifest.append(np.array([places.setdefault(row, len(places)) for row in rows]))
    return [replace(row, example_id=place) for row, place in places.items()], of_manifest


def extract_features(
    folder: Path,
    *,
    weights: Path,
    manifests: Sequence[Manifest],
    views: int,
    runtime: Runtime,
    title: str,
    decoder: Decoder = "pyav",
) -> dict[str, Any]:
    """Extract features in float32; several processes share the shards.

    The features of a video are the mean over its views, as if the network's own average pooling covered all of them.
    An example of several manifests is read once. The folder receives `part-NNNNNN.parquet`.

    Returns:
        examples, read (number of readable ones), views (most of any example; as requested if none is readable).

    Raises:
        UserError: the network's head is not one linear layer.
    """
    with first_before_others():
        network, spec = weights_file.load_weights(weights, decoder)
    remove_head(network, head_name(spec))
    rows, _ = distinct_rows(manifests)
    done_by_first(lambda: remove_temporary(folder))
    own = processes()
    files = [_file(folder, number) for number in range(math.ceil(len(rows) / SHARD_SIZE))]
    todo = [number for number, file in enumerate(files) if not file.exists()]
    gather(None)  # all have looked before anyone writes
    mine = [range(n * SHARD_SIZE, min((n + 1) * SHARD_SIZE, len(rows))) for n in todo[own.rank :: own.size]]
    if mine:
        reader, device = ViewReader(spec.input, views), pick_device(runtime)
        most = clips_per_forward(runtime, device)
        results = score_videos(
            Inference(network, spec.input, device, softmax=False),
            mine,
            rows.__getitem__,
            reader,
            read_views=read_in_processes(reader, runtime, most, Rows(rows)),
            clips_per_forward=most,
        )
        with closing(results), progress_bar(sum(map(len, mine)), "example", title) as bar:
            for shard in mine:
                scores = []
                for score in islice(results, len(shard)):
                    scores.append(score)
                    bar.update()
                write_features(files[shard.start // SHARD_SIZE], rows, scores)
    gather(None)
    table = pa.concat_tables(read_own_parquet(file, ["error", "views"]) for file in files)
    read, most_views = int(table.column("error").null_count), pc.max(table.column("views")).as_py()
    if own.first and read < len(rows):
        logger.warning("%s: only %d of %d examples can be read", title, read, len(rows))
    return {"examples": len(rows), "read": read, "views": most_views or views}


def read_features(folder: Path, manifests: Sequence[Manifest], selected: slice = slice(None)) -> list[np.ndarray]:
    """Read features of the selected manifests, all of which must be given as they were to `extract_features`.

    Only shards that hold an example of the selected ones are opened.

    Returns:
        For each selected manifest an array (N, width) float32; the row of an unreadable example is NaN. The width is 0
        if none of its examples is readable.
    """
    _, places = distinct_rows(manifests)
    return [_features_of(folder, own) for own in places[selected]]


def _features_of(folder: Path, places: np.ndarray) -> np.ndarray:
    """Read the features of the rows at these places, in the memory of one array of that size."""
    features = np.zeros((len(places), 0), np.float32)
    order = np.argsort(places)
    shards, starts = np.unique(places[order] // SHARD_SIZE, return_index=True)
    for number, examples in zip(shards, np.split(order, starts[1:]), strict=True):
        column = read_own_parquet(_file(folder, number), ["features"]).column("features").combine_chunks()
        readable = column.is_valid().to_numpy(zero_copy_only=False)
        if not readable.any():
            continue
        known = column.flatten().to_numpy().reshape(int(readable.sum()), -1)
        if not features.shape[1]:
            features = np.full((len(places), known.shape[1]), np.nan, np.float32)
        block = np.full((len(readable), known.shape[1]), np.nan, np.float32)
        block[readable] = known
        features[examples] = block[places[examples] - number * SHARD_SIZE]
    return features


def _file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}.parquet"


def write_features(file: Path, rows: Sequence[Row], scores: Sequence[VideoScore]) -> None:
    """Write a shard atomically."""
    columns = {
        "path": [rows[score.example_id].member or rows[score.example_id].path for score in scores],
        "features": [score.probabilities for score in scores],
        "views": [None if score.views is None else len(score.views) for score in scores],
        "error": [score.error for score in scores],
    }
    write_parquet(file, pa.table(columns, SCHEMA))
