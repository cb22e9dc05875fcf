"""Generated score rows: skewed class frequencies, ties within and across examples."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from vidsemi.io.progress import progress_bar
from vidsemi.io.store import shard_name
from vidsemi.runtime.process import usable_cores
from vidsemi.selection.score_format import ScoreRows, ScoresInfo, label_type
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.score_writer import write_shard

PATTERNS = 4  # blocks of rows that are drawn; every shard is one of them with its scores shifted


@dataclass(frozen=True)
class ScoreData:
    """Score rows of a dataset, shard by shard.

    Attributes:
        at_least: minimum number of rows; the last shard is filled up.
        classes: number of classes; class r is about (r + 1)^-0.7 as frequent as class 0.
        stored: rows per example, P.
        examples_per_shard: examples in each shard.
        manifest: fingerprint of the dataset's manifest.
        names: of the classes.
        most: examples of the dataset, if the last shard is not to be filled up.
    """

    at_least: int
    classes: int
    stored: int
    examples_per_shard: int
    manifest: str = "generated"
    names: tuple[str, ...] = ()
    most: int | None = None

    @property
    def examples(self) -> int:
        """Total number of examples."""
        return self.shards * self.examples_per_shard if self.most is None else self.most

    @property
    def rows(self) -> int:
        """Total number of rows."""
        return self.examples * self.stored

    @property
    def rows_per_shard(self) -> int:
        """Rows per shard."""
        return self.examples_per_shard * self.stored

    @property
    def shards(self) -> int:
        """Number of shards."""
        return math.ceil(self.at_least / self.rows_per_shard)

    @property
    def info(self) -> ScoresInfo:
        """Metadata of the shards."""
        names = [*self.names] or [f"class {number}" for number in range(self.classes)]
        size = self.examples_per_shard
        return ScoresInfo(
            self.manifest, "generated", names, self.stored, views=10, shard_size=size, examples=self.examples
        )

    @cached_property
    def patterns(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Labels and scores (as bits), both (examples, P), and which examples have scores on a coarse grid."""
        return [self._pattern(np.random.default_rng([0, number])) for number in range(PATTERNS)]

    def _pattern(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = (self.examples_per_shard, self.stored)
        popularity = np.cumsum(np.arange(1, self.classes + 1) ** -0.7)
        labels = np.searchsorted(popularity, rng.random(shape) * popularity[-1])
        while True:  # an example has each class once
            ordered = np.sort(labels, axis=1)
            again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
            if len(again) == 0:
                break
            labels[again] = np.searchsorted(popularity, rng.random((len(again), self.stored)) * popularity[-1])
        scores = 0.01 + 0.84 * rng.random(shape) ** 3
        coarse = rng.random(len(scores)) < 1 / 8
        scores[coarse] = np.round(scores[coarse] * 64) / 64
        order = np.lexsort((labels, -scores.astype(np.float32)), axis=1)
        labels, scores = np.take_along_axis(labels, order, 1), np.take_along_axis(scores, order, 1)
        return (
            labels.astype(label_type(self.classes).to_pandas_dtype()),
            scores.astype(np.float32).view(np.int32),
            coarse,
        )

    def shard(self, number: int) -> ScoreRows:
        """The rows of a shard; scores off the coarse grid are shifted by up to 6%, those of an example alike."""
        labels, bits, coarse = self.patterns[number % PATTERNS]
        shift = np.random.default_rng([1, number]).integers(-(2**19), 2**19, len(bits), np.int32)
        shift[coarse] = 0
        first = number * len(bits)
        count = min(len(bits), self.examples - first)
        return ScoreRows(
            np.repeat(np.arange(first, first + count), self.stored),
            labels[:count].reshape(-1),
            (bits + shift[:, None])[:count].reshape(-1).view(np.float32),
        )

    def generated_shards(self) -> list[ScoreShard]:
        """Shards that are generated while they are read, for datasets larger than the disk."""
        assert self.patterns  # drawn now, not by several threads at once

        def batches(number: int) -> Iterator[ScoreRows]:
            yield self.shard(number)

        return [
            ScoreShard(shard_name(number), number, partial(batches, number), lambda: self.rows_per_shard)
            for number in range(self.shards)
        ]

    def write(self, folder: Path) -> None:
        """Write the missing shards."""
        assert self.patterns
        info = self.info

        def write(number: int) -> None:
            rows, shape = self.shard(number), (-1, self.stored)
            labels, scores = rows.label.reshape(shape), rows.score.reshape(shape)
            write_shard(folder, number, rows.example_id[:: self.stored], labels, scores, info)

        missing = [number for number in range(self.shards) if not (folder / shard_name(number)).exists()]
        with (
            ThreadPoolExecutor(usable_cores()) as pool,
            progress_bar(len(missing), "shard", str(folder), delay=1) as bar,
        ):
            for _ in pool.map(write, missing):
                bar.update()
