"""Stages → their work: files to read, clips to compute, bytes to write. Nothing here depends on a machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsemi.config import Recipe
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest
from vidsemi.data.read import is_image
from vidsemi.pipeline.linear_probe import FeaturesStage
from vidsemi.pipeline.stage import Plan, Stage, WeightsFile
from vidsemi.pipeline.stages import (
    EvaluateStage,
    HashtagExamples,
    HashtagsStage,
    ImportWeightsStage,
    LabeledExamples,
    MeanScoresStage,
    ScoreStage,
    SelectStage,
    TrainStage,
    class_map_of,
    spec_of,
)

if TYPE_CHECKING:
    from vidsemi.models.weights_file import NetworkSpec

TRAINING = 3  # multiply-adds of a training clip in those of a forward pass: the backward pass costs two of them
SAMPLED = 200  # examples that tell the share of images
# Bytes that stages write, as those of configs/demo.yaml: compressed Parquet, train.jsonl and TensorBoard.
SCORE_BYTES = 9  # a row
SELECTION_BYTES = 12  # a row
PREDICTION_BYTES = 45  # an example
LOG_BYTES = 120_000  # a training run
# Seconds of one core for tables: to start, and rows a second (docs/performance.md).
TABLE_SECONDS, SELECTED_ROWS, TAGGED_ROWS = 0.5, 50e6, 200e3
AVERAGED_ROWS = 9e6  # of two teachers with 400 classes


@dataclass(frozen=True)
class Reading:
    """Files to open and decode; `key` names what their speed depends on."""

    manifest: Manifest
    input: InputSpec
    clips: int  # of each video
    files: int
    recipe: Recipe | None = None  # None for evenly spread clips
    scale: tuple[float, float] | None = None  # random_resized_crop_scale
    crops: int = 1

    @property
    def key(self) -> str:
        """Such as `shapes/test.csv: 10 clips of 8×112×112, stride 1`."""
        takes, file = self.input, self.manifest.file
        kind = f"{self.clips} {'random ' if self.recipe else ''}clip{'s' * (self.clips > 1)}"
        kind += f" × {self.crops} crops" if self.crops > 1 else ""
        resized = takes.resize if isinstance(takes.resize, int) else "×".join(map(str, takes.resize))
        size = f"{takes.frames}×{takes.crop}×{takes.crop}, stride {takes.stride}, resize {resized}, {takes.decoder}"
        return f"{file.parent.name}/{file.name}: {kind} of {size}" + (", random_resized_crop" if self.scale else "")


@dataclass(frozen=True)
class Computing:
    """Clips for a network; `key` names what their speed depends on."""

    spec: "NetworkSpec" = field(compare=False)
    clips: int
    macs: float  # of a clip
    precision: str
    recipe: Recipe | None = None  # None for inference

    @property
    def key(self) -> str:
        """Such as `r2plus1d_18 8×112×112 float32, training 24`."""
        takes = self.spec.input
        use = "inference" if self.recipe is None else f"training {micro_batch(self.recipe)}"
        return f"{self.spec} {takes.frames}×{takes.crop}×{takes.crop} {self.precision}, {use}"


@dataclass(frozen=True)
class Work:
    """What a stage does.

    Attributes:
        examples: processed, as the paper counts them.
        loaders: how often training starts its readers.
        readers: how often inference starts its readers.
        host_seconds: of one core, for tables.
        kept: bytes that stay.
        checkpoint: bytes of a checkpoint; three exist while one is written.
        checkpoints: that are written whatever the time.
        checkpoint_seconds: between checkpoints.
    """

    name: str
    kind: str
    examples: int = 0
    readings: tuple[Reading, ...] = ()
    computing: tuple[Computing, ...] = ()
    loaders: int = 0
    readers: int = 0
    host_seconds: float = 0.0
    kept: int = 0
    checkpoint: int = 0
    checkpoints: int = 0
    checkpoint_seconds: float = float("inf")

    @property
    def clips(self) -> int:
        """That the network sees."""
        return sum(own.clips for own in self.computing)

    @property
    def macs(self) -> float:
        """Multiply-adds."""
        return sum(own.clips * own.macs for own in self.computing)


@dataclass(frozen=True)
class NetworkCost:
    """Multiply-adds of a clip, and bytes of the weights."""

    macs: float
    bytes: int


CostOf = Callable[["NetworkSpec"], NetworkCost]


def micro_batch(recipe: Recipe) -> int:
    """Clips that the network sees at a time on one device."""
    return recipe.batch_size // (recipe.micro_batches or 1)


def work_of(plan: Plan, cost_of: CostOf) -> list[Work]:
    """The work of all stages of a plan, in order; stages that several approaches share are in a plan once."""
    about = _About(plan, cost_of)
    return [
        _work(stage, about, plan.context.name(stage), kind) for stage, kind in zip(plan.stages, plan.kinds, strict=True)
    ]


@dataclass(frozen=True)
class _About:
    plan: Plan
    cost_of: CostOf
    classes: dict[str, list[str]] = field(default_factory=dict)  # of manifests, by fingerprint
    images: dict[str, float] = field(default_factory=dict)  # share of images, likewise

    def spec(self, source: Stage | WeightsFile) -> "NetworkSpec":
        """The network of a stage."""
        if isinstance(source, ImportWeightsStage):
            return spec_of(source.network, source.classes)
        if isinstance(source, TrainStage):
            return spec_of(source.network, self.classes_of(source.training_set))
        raise TypeError(f"{source} has no network")

    def classes_of(self, examples: Any) -> list[str]:
        """Of hashtags, which a stage finds later, all of the vocabulary; only their number matters."""
        if isinstance(examples, LabeledExamples):
            manifest = examples.labeled
            return self.classes.setdefault(manifest.fingerprint, manifest.class_names())
        if isinstance(examples, HashtagExamples):
            return [f"label {number}" for number in range(max(len(examples.hashtags.vocabulary.labels), 1))]
        classes: list[str] = examples.classes
        return classes

    def views(self, manifest: Manifest, files: int, views: int, crops: int) -> int:
        """Clips × crops of some files of a dataset; an image has one clip."""
        share = self.images.get(manifest.fingerprint)
        if share is None:
            places = np.linspace(0, len(manifest) - 1, min(len(manifest), SAMPLED)).astype(int)
            share = float(np.mean([is_image(manifest.row(int(place))) for place in places]))
            self.images[manifest.fingerprint] = share
        return round(files * (share + (1 - share) * views)) * crops

    def inference(
        self, source: Stage | WeightsFile, manifest: Manifest, files: int, views: int, crops: int, precision: str
    ) -> tuple[Reading, Computing]:
        """Some files of a dataset, read and computed."""
        spec = self.spec(source)
        clips = self.views(manifest, files, views, crops)
        reading = Reading(manifest, spec.input, max(round(clips / max(files, 1) / crops), 1), files, crops=crops)
        return reading, Computing(spec, clips, self.cost_of(spec).macs, precision)


@singledispatch
def _work(stage: Stage, about: _About, name: str, kind: str) -> Work:
    return Work(name, kind)


@_work.register
def _(stage: TrainStage, about: _About, name: str, kind: str) -> Work:
    recipe, spec, examples = stage.recipe, about.spec(stage), stage.training_set
    cost = about.cost_of(spec)
    extra = recipe.precise_batch_norm * recipe.batch_size  # forward passes of training clips
    if isinstance(examples, LabeledExamples):
        manifest = examples.labeled
    else:
        manifest = examples.weak if isinstance(examples, HashtagExamples) else examples.unlabeled
    files = ceil((recipe.examples + extra) / recipe.clips_per_video)
    readings = [Reading(manifest, spec.input, recipe.clips_per_video, files, recipe, stage.random_resized_crop_scale)]
    computing = [Computing(spec, recipe.examples, TRAINING * cost.macs, recipe.precision, recipe)]
    if extra:
        computing.append(Computing(spec, extra, cost.macs, recipe.precision))
    validations = 0
    if stage.validation is not None:
        validations = min(recipe.validations, ceil(recipe.examples / recipe.batch_size))
        held_out, views = len(stage.validation.examples()), stage.validation.views
        own = about.inference(stage, stage.validation.manifest, validations * held_out, views, 1, "float32")
        readings.append(own[0])
        computing.append(own[1])
    moments = 1 + (recipe.optimizer == "adamw")
    copies = (
        1 + moments + (recipe.ema is not None) + (recipe.keep == "best")
    )  # weights, momentum, average, best weights
    runtime, steps = about.plan.runtime, ceil(recipe.examples / recipe.batch_size)
    return Work(
        name,
        kind,
        recipe.examples,
        tuple(readings),
        tuple(computing),
        loaders=1 + (extra > 0),
        readers=validations,
        kept=cost.bytes + LOG_BYTES,
        checkpoint=copies * cost.bytes,
        checkpoints=(steps // runtime.checkpoint_steps if runtime.checkpoint_steps else 0) + (extra > 0),
        checkpoint_seconds=runtime.checkpoint_seconds,
    )


@_work.register
def _(stage: HashtagsStage, about: _About, name: str, kind: str) -> Work:
    count = len(stage.weak)
    return Work(name, kind, count, host_seconds=TABLE_SECONDS + count / TAGGED_ROWS, kept=SELECTION_BYTES * count)


@_work.register
def _(stage: ImportWeightsStage, about: _About, name: str, kind: str) -> Work:
    return Work(name, kind, kept=about.cost_of(about.spec(stage)).bytes)


@_work.register
def _(stage: ScoreStage, about: _About, name: str, kind: str) -> Work:
    count = len(stage.unlabeled)
    reading, computing = about.inference(
        stage.teacher, stage.unlabeled, count, stage.views, stage.crops, stage.precision
    )
    kept = SCORE_BYTES * count * stage.per_example
    return Work(name, kind, count, (reading,), (computing,), readers=1, kept=kept)


@_work.register
def _(stage: MeanScoresStage, about: _About, name: str, kind: str) -> Work:
    count = len(stage.unlabeled)
    rows = count * sum(own.per_example for own in stage.scores)
    kept = SCORE_BYTES * count * stage.per_example
    return Work(name, kind, count, host_seconds=TABLE_SECONDS + rows / AVERAGED_ROWS, kept=kept)


@_work.register
def _(stage: EvaluateStage, about: _About, name: str, kind: str) -> Work:
    count = len(stage.test)
    reading, computing = about.inference(stage.weights, stage.test, count, stage.views, stage.crops, "float32")
    return Work(name, kind, count, (reading,), (computing,), readers=1, kept=PREDICTION_BYTES * count)


@_work.register
def _(stage: SelectStage, about: _About, name: str, kind: str) -> Work:
    rows = sum(len(scores.unlabeled) * scores.per_example for scores in stage.scores)
    first = stage.scores[0]
    teacher = first.scores[0].teacher if isinstance(first, MeanScoresStage) else first.teacher
    class_map = class_map_of(teacher)
    classes = len(class_map.classes if class_map else about.spec(teacher).classes)
    kept = SELECTION_BYTES * min(rows, classes * stage.per_class)
    count = sum(len(scores.unlabeled) for scores in stage.scores)
    return Work(name, kind, count, host_seconds=TABLE_SECONDS + rows / SELECTED_ROWS, kept=kept)


@_work.register
def _(stage: FeaturesStage, about: _About, name: str, kind: str) -> Work:
    """Each distinct example once, whatever the splits that it is in."""
    from vidsemi.inference.features import distinct_rows

    count, manifest = len(distinct_rows(stage.manifests)[0]), stage.manifests[0]
    reading, computing = about.inference(stage.weights, manifest, count, stage.views, 1, "float32")
    width = about.cost_of(computing.spec).bytes  # unknown here; features are far smaller
    return Work(name, kind, count, (reading,), (computing,), readers=1, kept=min(width, 8192 * count))
