"""A plan: the stages of a run in an order in which they can run, and the rows of results.json that they lead to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vidsemi.config import Log, Runtime
from vidsemi.data.dedup.checks import Check
from vidsemi.pipeline.results import PlannedRow
from vidsemi.pipeline.stage import WEIGHTS, Context, Stage

# As in `--until`.
KINDS = ("hashtags", "teacher", "score", "select", "supervised", "pretrain", "finetune", "evaluate", "transfer")

S = TypeVar("S", bound=Stage)


@dataclass
class Plan:
    """What a run or a transfer is going to do.

    `started` holds the folders of the stages that the output has, by fingerprint: a stage keeps its folder, whichever
    approach planned it first.
    """

    output: Path
    runtime: Runtime
    log: Log
    checks: Sequence[Check]  # for duplicates of test examples in training sets
    summary: Sequence[str]  # of the data, for `--check`
    sizes: Mapping[str, Any]  # the same as a JSON document
    started: Mapping[str, str]
    stages: list[Stage] = field(default_factory=list)  # each after those that it reads
    kinds: list[str] = field(default_factory=list)  # one of `KINDS` for each stage
    folders: dict[str, str] = field(default_factory=dict)  # of the stages, relative to the output, by fingerprint
    rows: list[PlannedRow] = field(default_factory=list)

    def add(self, stage: S, folder: str, kind: str) -> S:
        """Add a stage, unless an equal one is planned already; returns it."""
        if stage.fingerprint not in self.folders:
            self.stages.append(stage)
            self.kinds.append(kind)
            self.folders[stage.fingerprint] = self.started.get(stage.fingerprint, folder)
        return stage

    @property
    def context(self) -> Context:
        """Where its stages run."""
        return Context(self.output, self.folders, self.runtime, self.log)

    def weights(self, stage: Stage) -> str:
        """The weights that a stage writes, relative to the output."""
        return f"{self.folders[stage.fingerprint]}/{WEIGHTS}"
