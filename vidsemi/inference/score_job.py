"""A scoring job: what its workers share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference
from vidsemi.inference.score_directory import ScoreDirectory


@dataclass(frozen=True)
class ScoreJob:
    """What every worker of a job has in common."""

    directory: ScoreDirectory
    manifest: Manifest
    shards: Sequence[range]  # example ids of each shard
    infer: Inference
    reader: ViewReader
    runtime: Runtime
    title: str
    known: Sequence[int] | None = None  # classes that the network has outputs for; None for all

    def num_examples(self, shards: Iterable[int]) -> int:
        """Count the examples of some shards."""
        return sum(len(self.shards[number]) for number in shards if number < len(self.shards))
