"""Several directories of scores as one: those of an unlabeled set of several manifests, each scored by itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json
from vidsemi.io.store import Place
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard, open_shards, read_failures, shard_files

OWN = ("manifest", "examples", "shards")  # what directories may differ in


@dataclass(frozen=True)
class JoinedScores:
    """Shards of one or more directories. Example ids and shard numbers continue from one to the next."""

    shards: list[ScoreShard]
    info: ScoresInfo
    failures: Callable[[], np.ndarray]  # ids of the examples that could not be read


def join_scores(folders: Sequence[Place]) -> JoinedScores:
    """Open directories of scores, in the order of the manifests that they are of."""
    opened = [open_shards(shard_files(folder)) for folder in folders]
    first = opened[0][1]
    if len(folders) == 1:
        return JoinedScores(opened[0][0], first, partial(read_failures, folders[0]))
    shards: list[ScoreShard] = []
    starts, examples, numbers = [], 0, 0
    for folder, (own, info) in zip(folders, opened, strict=True):
        if name := first.difference(replace(info, **{key: getattr(first, key) for key in OWN})):
            raise UserError(
                "scores.mismatch", f"{folder} and {folders[0]} were not scored alike: their '{name}' differ"
            )
        if info.examples is None or info.shards is None:
            raise UserError(
                "scores.unknown_size", f"{folder} does not say how many examples and shards there are; score again"
            )
        starts.append(examples)
        shards += [
            replace(one, number=one.number + numbers, batches=partial(_shifted, one.batches, examples)) for one in own
        ]
        examples, numbers = examples + info.examples, numbers + info.shards
    fingerprint = fingerprint_json([info.manifest for _, info in opened])
    joined = replace(first, manifest=fingerprint, examples=examples, shards=numbers)
    return JoinedScores(shards, joined, partial(_failures, folders, starts))


def _shifted(batches: Callable[[], Iterable[ScoreRows]], start: int) -> Iterator[ScoreRows]:
    for rows in batches():
        yield replace(rows, example_id=rows.example_id + start)


def _failures(folders: Sequence[Place], starts: Sequence[int]) -> np.ndarray:
    return np.concatenate([read_failures(folder) + start for folder, start in zip(folders, starts, strict=True)])
