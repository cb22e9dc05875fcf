"""Stages and plans: the fields of a stage determine its result."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from vidsemi.config import Log, Runtime
from vidsemi.data.dedup.checks import Check
from vidsemi.data.hashtags.vocabulary import Vocabulary
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.joined import JoinedManifest
from vidsemi.data.manifest import Manifest
from vidsemi.io.files import fingerprint_json
from vidsemi.pipeline.record import read_record

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"
# Of stages, as in `--until`.
KINDS = ("hashtags", "teacher", "score", "select", "supervised", "pretrain", "finetune", "evaluate", "transfer")


@dataclass(frozen=True)
class WeightsFile:
    """Weights that existed before the run."""

    source: str  # a file, or an https:// address
    fingerprint: str  # SHA-256 of the content, which is all that identifies it


@dataclass(frozen=True)
class Architecture:
    """A network without its weights and classes."""

    model: str
    args: Mapping[str, Any]
    input: InputSpec


def added(default: Any) -> Any:
    """A field that older stages lack: left out of `document` at its default, so that what they did stays done."""
    return field(default=default, metadata={"added": True})


@dataclass(frozen=True, eq=False)
class Stage(ABC):
    """A step of a run. Its fields are its identity: `run` uses them and the context, and nothing else.

    A field that is a stage is one that this stage reads. Two stages of one kind with equal fields have the same
    fingerprint and are run once, in one folder.
    """

    together: ClassVar[bool] = False  # all processes run it together; else the first runs it while the others wait

    @abstractmethod
    def run(self, context: "Context") -> dict[str, Any]:
        """Write the stage's files into `context.folder(self)`; returns its metrics, JSON values."""

    def clean_up(self, context: "Context") -> None:  # noqa: B027
        """Remove the files that only an unfinished stage needs."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """The fields as stage.json has them; a stage is its fingerprint there, and so is a manifest."""
        values = {field: getattr(self, field.name) for field in fields(self)}
        return {
            field.name: to_json(value)
            for field, value in values.items()
            if not (field.metadata.get("added") and value == field.default)
        }

    @cached_property
    def fingerprint(self) -> str:
        """Of the kind of stage and its fields."""
        return fingerprint_json({"stage": type(self).__name__, "fields": self.document})

    @cached_property
    def inputs(self) -> "tuple[Stage, ...]":
        """The stages among the fields."""
        return tuple(_stages_in(tuple(getattr(self, field.name) for field in fields(self))))


def to_json(value: Any) -> Any:
    """The value of a field as the JSON value that identifies it; a TypeError if its type has none."""
    match value:
        case Stage() | Vocabulary() | WeightsFile():
            return value.fingerprint
        case JoinedManifest():
            return [to_json(part) for part in value.parts]
        case Manifest():  # paths are relative to the manifest's own folder unless the config names a root
            moved = value.root != value.file.parent
            return f"{value.fingerprint} under {value.root}" if moved else value.fingerprint
        case Architecture():  # 1 and 1.0 are the same width
            args = {name: float(own) if type(own) is int else own for name, own in value.args.items()}
            return {"model": value.model, "args": args, "input": to_json(value.input)}
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {str(key): to_json(own) for key, own in value.items()}
        case tuple() | list():
            return [to_json(own) for own in value]
        case None | bool() | int() | float() | str():
            return value
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"a stage cannot have a field of type {type(value).__name__}")


def _stages_in(value: Any) -> Iterator[Stage]:
    if isinstance(value, Stage):
        yield value
    elif isinstance(value, tuple):
        for own in value:
            yield from _stages_in(own)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _stages_in(getattr(value, field.name))


@dataclass(frozen=True)
class Context:
    """Where a stage runs and on what: nothing here changes its result, but for rounding."""

    output: Path
    folders: Mapping[str, str]  # of each stage, relative to `output`, by fingerprint
    runtime: Runtime
    log: Log  # where training is logged besides train.jsonl

    def name(self, stage: Stage) -> str:
        """A stage's folder relative to the output, such as `seed0/teacher/train`; also its title."""
        return self.folders[stage.fingerprint]

    def folder(self, stage: Stage) -> Path:
        """A stage's folder."""
        return self.output / self.name(stage)

    def weights(self, source: Stage | WeightsFile) -> str:
        """The file of weights that a stage wrote, or the existing file or address."""
        return source.source if isinstance(source, WeightsFile) else str(self.folder(source) / WEIGHTS)

    def metrics(self, stage: Stage) -> dict[str, Any]:
        """The metrics of a stage that is done."""
        record = read_record(self.folder(stage))
        assert record is not None  # stages run after those that they read
        metrics: dict[str, Any] = record["metrics"]
        return metrics


S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class PlannedRow:
    """A row of results.json that a plan leads to."""

    student: str
    approach: str
    seed: int
    network: Stage | WeightsFile
    stages: tuple[Stage, ...]  # whose metrics make the row: one, or one for each split of a transfer target
    tests: tuple[Manifest, ...]  # the test set of each
    target: str | None = None  # name of the transfer target; None for the run's own test set
    protocol: str | None = None  # of the transfer
    variant: str = ""  # of the study that the row belongs to
    varied: str = ""  # what the variants of the study are variants of

    @property
    def names(self) -> dict[str, Any]:
        """What the row is a result of, which identifies it."""
        of_transfer = {} if self.target is None else {"transfer": self.target, "protocol": self.protocol}
        variant = {"variant": self.variant} if self.variant else {}
        return {"student": self.student, "approach": self.approach, "seed": self.seed, **variant, **of_transfer}

    def weights(self, folders: Mapping[str, str]) -> str:
        """The file of the network's weights, relative to the output or absolute, given the folders of all stages."""
        if isinstance(self.network, WeightsFile):
            return self.network.source
        return f"{folders[self.network.fingerprint]}/{WEIGHTS}"

    @property
    def test_set(self) -> dict[str, str]:
        """The test set, or those of all splits: a fingerprint of the content, and the manifests."""
        fingerprints = [manifest.fingerprint for manifest in self.tests]
        one = fingerprints[0] if len(fingerprints) == 1 else fingerprint_json(fingerprints)
        return {"test_set": one, "test_manifest": ", ".join(str(manifest.file) for manifest in self.tests)}


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
    planned_folders: dict[str, str] = field(default_factory=dict)  # the same, whatever the output has already
    rows: list[PlannedRow] = field(default_factory=list)

    def add(self, stage: S, folder: str, kind: str) -> S:
        """Add a stage, unless an equal one is planned already; returns it."""
        if stage.fingerprint not in self.folders:
            used = set(self.folders.values())
            free = (name for number in count(2) if (name := f"{folder}-{number}") not in used)
            places = (self.started.get(stage.fingerprint, folder), folder)
            self.stages.append(stage)
            self.kinds.append(kind)
            self.planned_folders[stage.fingerprint] = folder
            self.folders[stage.fingerprint] = next((place for place in places if place not in used), None) or next(free)
        return stage

    @property
    def context(self) -> Context:
        """Where its stages run."""
        return Context(self.output, self.folders, self.runtime, self.log)
