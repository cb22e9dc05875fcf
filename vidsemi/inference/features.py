"""Features: weights and manifests → the output of the layer before the head for each example, as Parquet.

The distinct examples of all manifests are cut into shards. A shard that exists is whole, so a killed stage resumes with
the next one. No forward pass has clips of two shards, so the features do not depend on who computes them.
"""

import hashlib
import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.config import Runtime
from vidsemi.data.frame_cache import frame_cache
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest, Row
from vidsemi.data.manifest_source import ManifestSource
from vidsemi.data.reachable import Rows
from vidsemi.data.shards import read_carefully
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference
from vidsemi.inference.score_views import VideoScore, read_in_processes, score_videos
from vidsemi.io.parquet import parquet_bytes, read_own_parquet
from vidsemi.io.store import LocalStore, shard_name
from vidsemi.models import weights_file
from vidsemi.models.features import head_name, remove_head
from vidsemi.runtime.device import clips_per_forward, pick_device, worker_count
from vidsemi.runtime.distributed import first_before_others, gather, processes
from vidsemi.runtime.leases import Lease, Leases, patience
from vidsemi.runtime.ray_engine import run_on_ray
from vidsemi.runtime.shard_worker import CRASHES, Computed, Files, ShardJob, ShardWorker, by_shard

logger = logging.getLogger("vidsemi")

SHARD_SIZE = 256  # examples; what a kill loses at most
SCHEMA = pa.schema(
    [("path", pa.string()), ("features", pa.list_(pa.float32())), ("views", pa.int32()), ("error", pa.string())]
)


class DistinctRows(Sequence[Row]):
    """The examples of several manifests once each, numbered by their places."""

    def __init__(self, manifests: Sequence[Manifest], examples: np.ndarray):
        self._manifests, self._examples = manifests, examples  # (N,) as if the manifests were one
        self._starts = np.cumsum([0, *map(len, manifests)])

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, place: Any) -> Any:
        number = int(np.searchsorted(self._starts, self._examples[place], side="right")) - 1
        return replace(self._manifests[number].row(int(self._examples[place] - self._starts[number])), example_id=place)


def distinct_rows(manifests: Sequence[Manifest]) -> tuple[DistinctRows, list[np.ndarray]]:
    """Return the examples of several manifests once each, and for each manifest the places of its own among them.

    The splits of a dataset share their videos. Of each example 16 bytes are held, not its row.
    """
    hashes = bytearray()
    for manifest in manifests:
        for example_id in range(len(manifest)):
            fields = astuple(replace(manifest.row(example_id), example_id=0))
            hashes += hashlib.blake2b(repr(fields).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    _, first, places = np.unique(np.frombuffer(hashes, "V16"), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ends = np.cumsum([len(manifest) for manifest in manifests])
    return DistinctRows(manifests, first[order]), np.split(rank[places], ends[:-1])


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

    With `runtime.engine` "ray" workers on a cluster extract them.

    Returns:
        examples, read (number of readable ones), views (most of any example; as requested if none is readable).

    Raises:
        UserError: the network's head is not one linear layer.
    """
    job = partial(extract_shards, folder=folder, weights=weights, views=views, title=title, decoder=decoder)
    if runtime.engine == "ray":
        sources = [ManifestSource.of(manifest) for manifest in manifests]
        examples = run_on_ray(partial(job, manifests=sources), runtime, place=folder, title=title)
    else:
        examples = job(runtime, manifests=manifests)
    own = processes()
    gather(None)  # each process has seen that all is done, and none removes its leases any more
    files = [_file(folder, number) for number in range(len(_shards(examples)))]
    table = pa.concat_tables(read_own_parquet(file, ["error", "views"]) for file in files)
    read, most_views = int(table.column("error").null_count), pc.max(table.column("views")).as_py()
    if own.first and read < examples:
        logger.warning("%s: only %d of %d examples can be read", title, read, examples)
    return {"examples": examples, "read": read, "views": most_views or views}


def extract_shards(
    runtime: Runtime,
    *,
    folder: Path,
    weights: Path,
    manifests: Sequence[Manifest | ManifestSource],
    views: int,
    title: str,
    decoder: Decoder,
) -> int:
    """Do what one worker does: extract free shards until none is left; returns the number of distinct examples."""
    with first_before_others():
        network, spec = weights_file.load_weights(weights, decoder)
    remove_head(network, head_name(spec))
    rows, _ = distinct_rows([one.read() if isinstance(one, ManifestSource) else one for one in manifests])
    store, shards = LocalStore(folder), _shards(len(rows))
    with Leases(store, patience(runtime.seconds_per_file), len(shards)) as leases:
        device = pick_device(runtime)
        infer = Inference(network, spec.input, device, softmax=False)
        reader = ViewReader(spec.input, views, cache=frame_cache(runtime.frame_cache))
        FeatureWorker(ShardJob(store, shards, title), leases, rows, infer, reader, runtime).work()
    return len(rows)


def _shards(examples: int) -> list[range]:
    return [range(n, min(n + SHARD_SIZE, examples)) for n in range(0, examples, SHARD_SIZE)]


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
    return folder / shard_name(number)


class FeatureWorker(ShardWorker):
    """Computes shards of features until all are done."""

    def __init__(
        self, job: ShardJob, leases: Leases, rows: Sequence[Row], infer: Inference, reader: ViewReader, runtime: Runtime
    ):
        super().__init__(job, leases)
        self._rows, self._infer, self._reader, self._runtime = rows, infer, reader, runtime
        self._clips_per_forward = clips_per_forward(runtime, infer.device)

    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        """Compute the features of shards."""
        dataset = Rows(self._rows)
        if careful is None:
            read_views = read_in_processes(self._reader, self._runtime, self._clips_per_forward, dataset)
        else:
            read_views = partial(
                read_carefully,
                self._reader,
                dataset=dataset,
                workers=worker_count(self._runtime),
                seconds=self._runtime.seconds_per_file,
                note=partial(self.leases.note, careful),
            )

        def scored(shards: Iterable[Sequence[int]]) -> Generator[VideoScore, None, None]:
            scores = score_videos(
                self._infer,
                shards,
                self._rows.__getitem__,
                self._reader,
                read_views=read_views,
                clips_per_forward=self._clips_per_forward,
            )
            with closing(scores):
                for score in scores:
                    self.finished_one(readable=score.error is None)
                    yield score

        def examples(lease: Lease) -> list[int]:
            return [example for example in self.job.shards[lease.number] if example not in lease.crashing]

        for lease, scores in by_shard(leases, examples, scored):
            crashing = [
                VideoScore(one, None, CRASHES) for one in lease.crashing if one in self.job.shards[lease.number]
            ]
            yield lease, feature_files(lease.number, self._rows, sorted([*scores, *crashing], key=by_example))


def by_example(score: VideoScore) -> int:
    """Return the key to sort by."""
    return score.example_id


def feature_files(number: int, rows: Sequence[Row], scores: Sequence[VideoScore]) -> Files:
    """Return the file of a shard, whose scores are in the order of the examples."""
    columns = {
        "path": [rows[score.example_id].member or rows[score.example_id].path for score in scores],
        "features": [score.probabilities for score in scores],
        "views": [None if score.views is None else len(score.views) for score in scores],
        "error": [score.error for score in scores],
    }
    return {shard_name(number): parquet_bytes(pa.table(columns, SCHEMA))}
