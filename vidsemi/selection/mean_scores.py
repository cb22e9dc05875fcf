"""Scores of one manifest by several teachers → their mean, in the same file format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json, is_regular
from vidsemi.io.parquet import read_parquet
from vidsemi.io.progress import progress_bar
from vidsemi.io.store import shard_name
from vidsemi.runtime.arrays import distinct
from vidsemi.selection.score_format import SCORE_AGAIN, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard, open_shards, shard_files
from vidsemi.selection.score_writer import top_classes, write_failures, write_shard

# What teachers may differ in: their weights and what they store and look at.
OWN = ("weights", "per_example", "frames", "stride", "resize", "crop", "decoder", "precision")

Failures = dict[int, tuple[int, str, str]]  # by example id: that, path, error


def mean_scores(
    folder: Path, scores: Sequence[Path], *, per_example: int, known: Sequence[int] | None = None, title: str
) -> dict[str, Any]:
    """Write the mean softmax of several teachers, shard by shard; shards that are there already stay.

    A class that a teacher has not stored counts as 0. An example that one of them could not read is a failure.

    Args:
        folder: the directory to write.
        scores: directories of scores of one manifest, one of each teacher.
        per_example: P, rows to store per example.
        known: classes that any of the teachers has an output for, ascending; None for all.
        title: for the progress bar.

    Returns:
        scored and failed examples, and shards.

    Raises:
        UserError: a shard is damaged, or the directories are not of one manifest, in the same shards and classes.
    """
    opened = [open_shards(shard_files(one)) for one in scores]
    info = _common(scores, [info for _, info in opened])
    info = replace(info, per_example=min(per_example, len(info.classes if known is None else known)))
    by_number = [{shard.number: shard for shard in shards} for shards, _ in opened]
    if any(own.keys() != by_number[0].keys() for own in by_number):
        raise UserError("scores.mismatch", f"{scores[0]} and {scores[1]} do not have the same shards; {SCORE_AGAIN}")
    with progress_bar(len(by_number[0]), "shard", title, delay=1) as bar:
        for number in by_number[0]:
            if not all(is_regular(folder / place / shard_name(number)) for place in (".", "failures")):
                failures = _failures(scores, number)
                ids, means = _mean([own[number] for own in by_number], len(info.classes))
                readable = ~np.isin(ids, [*failures])
                labels, top = top_classes(means[readable], info.per_example, known)
                write_failures(folder, number, sorted(failures.values()))
                write_shard(folder, number, ids[readable], labels, top, info)
            bar.update()
    failed = sum(len(_failures([folder], number)) for number in by_number[0])
    scored = None if info.examples is None else info.examples - failed
    return {"scored": scored, "failed": failed, "shards": len(by_number[0])}


def _common(scores: Sequence[Path], infos: Sequence[ScoresInfo]) -> ScoresInfo:
    """What the mean of scores says of itself."""
    first = infos[0]
    for folder, info in zip(scores[1:], infos[1:], strict=True):
        if name := first.difference(replace(info, **{key: getattr(first, key) for key in OWN})):
            raise UserError("scores.mismatch", f"{folder} and {scores[0]} cannot be averaged: their '{name}' differ")
    unknown: dict[str, Any] = {
        key: None for key in OWN[2:] if any(getattr(info, key) != getattr(first, key) for info in infos)
    }
    return replace(first, weights=fingerprint_json([info.weights for info in infos]), **unknown)


def _mean(shards: Sequence[ScoreShard], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) of the examples that all teachers have scored, and their means, (n, classes) float32."""
    rows = [[*shard.batches()] for shard in shards]
    ids = [distinct(np.concatenate([np.zeros(0, np.int64), *(one.example_id for one in own)])) for own in rows]
    common = ids[0]
    for other in ids[1:]:
        common = np.intersect1d(common, other, assume_unique=True)
    total = np.zeros((len(common), classes), np.float64)
    for shard, own in zip(shards, rows, strict=True):
        for one in own:
            if len(one) and not 0 <= one.label.min() <= one.label.max() < classes:
                raise UserError("scores.invalid_row", f"{shard.name}: a label is not one of its {classes} classes")
            places = np.searchsorted(common, one.example_id)
            mine = places < len(common)
            mine[mine] = common[places[mine]] == one.example_id[mine]
            total[places[mine], one.label[mine]] += one.score[mine]
    return common, (total / len(shards)).astype(np.float32)


def _failures(scores: Sequence[Path], number: int) -> Failures:
    """The examples of a shard that a teacher could not read, with the first error of each."""
    found: Failures = {}
    for folder in scores:
        file = folder / "failures" / shard_name(number)
        try:
            rows = read_parquet(file).to_pylist()
            own = [(int(row["example_id"]), str(row["path"]), str(row["error"])) for row in rows]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                "scores.invalid_failures", f"{file} is not a list of failures: {error}; {SCORE_AGAIN}"
            ) from None
        for one in own:
            found.setdefault(one[0], one)
    return found
