"""The stages of the method, one class for each kind. Only a stage that runs imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vidsemi.config import Recipe
from vidsemi.data.class_map import ClassMap
from vidsemi.data.hashtags.vocabulary import Vocabulary
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.data.split import HeldOut, ValidationSet
from vidsemi.pipeline.stage import WEIGHTS, Architecture, Context, Stage, WeightsFile, added

if TYPE_CHECKING:
    from vidsemi.models.weights_file import NetworkSpec
    from vidsemi.training.training_set import TrainingSet

SELECTION = "selection.parquet"
CLASSES = "classes.csv"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, eq=False)
class HashtagsStage(Stage):
    """Match the hashtags of the weakly labeled set: the labels to learn, and the examples that carry them."""

    weak: Manifest
    vocabulary: Vocabulary
    min_examples: int

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.data.hashtags.match import match_hashtags

        return match_hashtags(
            context.folder(self),
            weak=self.weak,
            vocabulary=self.vocabulary,
            min_examples=self.min_examples,
            title=context.name(self),
        )


@dataclass(frozen=True)
class LabeledExamples:
    """Train on the labels of a manifest, but for its validation split."""

    labeled: Manifest
    repeat_factor: str = "natural"
    held_out: HeldOut | None = None

    def load(self, context: Context, seed: int) -> "TrainingSet":
        """The training set."""
        from vidsemi.training.training_set import labeled_set

        held_out = self.held_out.mask(self.labeled) if self.held_out else None
        return labeled_set(self.labeled, seed, self.repeat_factor, held_out)


@dataclass(frozen=True)
class HashtagExamples:
    """Train on the hashtags that a stage matched."""

    weak: Manifest
    hashtags: HashtagsStage
    repeat_factor: str

    def load(self, context: Context, seed: int) -> "TrainingSet":
        """The training set."""
        from vidsemi.data.hashtags.match import read_matches
        from vidsemi.training.training_set import hashtag_set

        return hashtag_set(self.weak, *read_matches(context.folder(self.hashtags)), self.repeat_factor, seed)


@dataclass(frozen=True)
class PseudoLabeledExamples:
    """Train on the pseudo-labels that a stage selected."""

    unlabeled: Manifest
    classes: list[str]
    selection: "SelectStage"

    def load(self, context: Context, seed: int) -> "TrainingSet":
        """The training set."""
        from vidsemi.selection.result import Selection
        from vidsemi.training.training_set import pseudo_labeled_set

        file = context.folder(self.selection) / SELECTION
        return pseudo_labeled_set(self.unlabeled, self.classes, Selection.read(file), file)


@dataclass(frozen=True, eq=False)
class TrainStage(Stage):
    """Train a network from scratch, or from the weights of a stage or a file."""

    together: ClassVar[bool] = True

    training_set: LabeledExamples | HashtagExamples | PseudoLabeledExamples
    network: Architecture
    hflip_prob: float
    random_resized_crop_scale: tuple[float, float] | None
    recipe: Recipe
    seed: int
    init_from: Stage | WeightsFile | None = None
    weakly_pretrained: bool = False  # the config says so of the file, which does not say it itself
    validation: ValidationSet | None = None

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.training.train import train_network

        training_set = self.training_set.load(context, self.seed)
        return train_network(
            context.folder(self),
            training_set,
            spec_of(self.network, training_set.classes),
            recipe=self.recipe,
            hflip_prob=self.hflip_prob,
            random_resized_crop_scale=self.random_resized_crop_scale,
            seed=self.seed,
            runtime=context.runtime,
            log=context.log,
            title=context.name(self),
            init_from=None if self.init_from is None else context.weights(self.init_from),
            weakly_pretrained=self.weakly_pretrained,
            validation_set=self.validation,
            run=self.fingerprint,
        )

    def clean_up(self, context: Context) -> None:
        """Remove the checkpoints, which are needed until stage.json says that the stage is done."""
        folder = context.folder(self)
        if any(folder.glob("checkpoint-*")):
            from vidsemi.training.checkpoint import Checkpoints

            Checkpoints(folder).clear()


@dataclass(frozen=True, eq=False)
class ImportWeightsStage(Stage):
    """Import a frozen teacher: weights that are used as they are."""

    network: Architecture
    classes: list[str]
    init_from: WeightsFile

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.models.build import import_weights

        spec, rename = spec_of(self.network, self.classes), class_map_of(self) is not None
        return import_weights(context.folder(self) / WEIGHTS, spec, self.init_from.source, rename=rename)


@dataclass(frozen=True, eq=False)
class ImportMappedWeightsStage(ImportWeightsStage):
    """Import a frozen teacher whose outputs, which `classes` names in their order, are not the classes of the run."""

    class_map: ClassMap


@dataclass(frozen=True, eq=False)
class EvaluateStage(Stage):
    """Test a network, and write its predictions; with the labeled set, also the accuracy of each class."""

    together: ClassVar[bool] = True

    weights: Stage
    test: Manifest
    views: int
    crops: Literal[1, 10] = 1
    labeled: Manifest | None = None

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.inference.evaluate import evaluate_weights

        return evaluate_weights(
            weights=Path(context.weights(self.weights)),
            decoder=decoder_of(self.weights),
            manifest=self.test,
            views=self.views,
            crops=self.crops,
            runtime=context.runtime,
            title=context.name(self),
            by_class=context.folder(self) / CLASSES if self.labeled is not None else None,
            labeled=self.labeled,
            predictions=context.folder(self) / PREDICTIONS,
            class_map=class_map_of(self.weights),
        )


@dataclass(frozen=True, eq=False)
class ScoreStage(Stage):
    """Score the unlabeled set with a teacher."""

    together: ClassVar[bool] = True

    teacher: Stage
    unlabeled: Manifest
    views: int
    crops: Literal[1, 10]
    per_example: int
    shard_size: int
    precision: Literal["auto", "float32", "bfloat16", "float16"]

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.inference.score import score_manifest

        return score_manifest(
            context.folder(self),
            weights=Path(context.weights(self.teacher)),
            decoder=decoder_of(self.teacher),
            manifest=self.unlabeled,
            views=self.views,
            crops=self.crops,
            per_example=self.per_example,
            shard_size=self.shard_size,
            precision=self.precision,
            runtime=context.runtime,
            title=context.name(self),
            class_map=class_map_of(self.teacher),
        )


@dataclass(frozen=True, eq=False)
class MeanScoresStage(Stage):
    """Average the scores of several teachers."""

    scores: tuple[ScoreStage, ...]  # of one manifest, by each teacher
    per_example: int

    @property
    def unlabeled(self) -> Manifest:
        """The manifest that was scored."""
        return self.scores[0].unlabeled

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.selection.mean_scores import mean_scores

        maps = [class_map_of(own.teacher) for own in self.scores]
        known = sorted({number for own in maps if own for number in own.known}) if all(maps) else None
        return mean_scores(
            context.folder(self),
            [context.folder(stage) for stage in self.scores],
            per_example=self.per_example,
            known=known,
            title=context.name(self),
        )


@dataclass(frozen=True, eq=False)
class SelectStage(Stage):
    """Select pseudo-labels from scores."""

    scores: tuple[ScoreStage | MeanScoresStage, ...]  # of each manifest of the unlabeled set
    per_class: int
    per_example: int
    policy: str
    min_score: float
    seed: int | None = None  # of a policy that draws at random
    tagged: Manifest | None = None  # the unlabeled set, for a policy that reads its hashtags
    vocabulary: Vocabulary | None = None  # likewise
    targets: str = added("one_hot")
    temperature: float = added(1.0)  # of soft targets

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.pipeline.select import select_scores

        return select_scores(
            context.folder(self) / SELECTION,
            [context.folder(stage) for stage in self.scores],
            per_class=self.per_class,
            per_example=self.per_example,
            policy=self.policy,
            min_score=self.min_score,
            seed=self.seed or 0,
            targets=self.targets,
            temperature=self.temperature,
            manifest=self.tagged,
            vocabulary=self.vocabulary,
            complete=True,
            title=context.name(self),
        )


def decoder_of(source: Stage | WeightsFile) -> Decoder:
    """The decoder that the config chose for the network of a stage; a weights file chooses none."""
    network = getattr(source, "network", None)
    return network.input.decoder if isinstance(network, Architecture) else "pyav"


def class_map_of(source: Stage | WeightsFile) -> ClassMap | None:
    """What the outputs of a teacher with classes of its own mean; None if they are the classes of the run."""
    return source.class_map if isinstance(source, ImportMappedWeightsStage) else None


def spec_of(network: Architecture, classes: list[str]) -> "NetworkSpec":
    """How to build and feed a network for some classes."""
    from vidsemi.models.weights_file import NetworkSpec

    return NetworkSpec(network.model, network.args, classes, network.input)
