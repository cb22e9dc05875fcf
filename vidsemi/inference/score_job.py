"""A scoring job: what its workers share."""

from collections.abc import Sequence
from dataclasses import dataclass

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.data.views import ViewReader
from vidsemi.inference.model import Inference
from vidsemi.inference.score_directory import ScoreDirectory
from vidsemi.runtime.shard_worker import ShardJob


@dataclass(frozen=True, kw_only=True)
class ScoreJob(ShardJob):
    """What every worker of a scoring job has in common."""

    directory: ScoreDirectory
    manifest: Manifest
    infer: Inference
    reader: ViewReader
    runtime: Runtime
    known: Sequence[int] | None = None  # classes that the network has outputs for; None for all
