"""The datasets of a run, and the labels that hashtags stand for."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from vidsemi.config.base import RepeatFactor, Section


class Source(Section):
    """A manifest and the folder its paths start from. A plain string is a manifest alone."""

    manifest: str
    """Manifest file: .csv with a header, or .parquet (docs/guides/manifests.md)."""
    root: str | None = None
    """Folder that relative paths in the manifest start from. Default: the manifest's own folder."""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"manifest": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict | Source) else value


Sources = Annotated[tuple[Source, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Cut(Section):
    """A validation split that is cut from a labeled set, of each class: either a share or a number of examples."""

    share: float | None = Field(None, gt=0, lt=1)
    """Share of each class's examples."""
    per_class: PositiveInt | None = None
    """Number of examples per class. A class keeps at least half of its examples for training."""
    group: str | None = None
    """Regular expression with one capture group, searched in the paths. Examples with the same captured text stay on
    the same side of the split, e.g. `_(g\\d+)_c\\d+` for the clips of one video in UCF101. Default: examples with the
    same value in the manifest's column `group`, if it has one; else parts of the same file."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self._check_source()
        if self.group is not None:
            try:
                groups = re.compile(self.group).groups
            except re.error as error:
                raise ValueError(f"group is not a valid regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"group must have exactly one capture group; it has {groups}")
        return self

    def _check_source(self) -> None:
        if (self.share is None) == (self.per_class is None):
            raise ValueError("set either share or per_class")


class Validation(Cut):
    """Labeled examples to measure networks on in training: a manifest, or a split that is cut from the labeled set."""

    manifest: str | None = None
    """Manifest of validation examples, instead of a split. A plain string is a manifest alone."""
    root: str | None = None
    """Folder that relative paths in the manifest start from. Default: the manifest's own folder."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed of the split; the same for all seeds of the run."""
    views: PositiveInt = 1
    """Clips per video. Their softmax scores are averaged."""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"manifest": value} if isinstance(value, str) else value

    def _check_source(self) -> None:
        if [self.manifest, self.share, self.per_class].count(None) != 2:
            raise ValueError("set one of manifest, share and per_class")
        if self.manifest is None and self.root is not None:
            raise ValueError("root is that of a manifest, which is not set")
        if self.manifest is not None and self.group is not None:
            raise ValueError("group is for a split; a manifest is used as it is")


class Data(Section):
    """The datasets."""

    labeled: Source | None = None
    """Labeled examples (D in the paper). Their labels, sorted alphabetically, are the classes. Only `distilled` can do
    without: the classes are then the teacher's."""
    test: Source | None = None
    """Labeled test examples. Never used for training or for choosing hyperparameters. Only `distilled` can do without:
    no accuracy is measured then."""
    validation: Validation | None = None
    """Section Validation. Default: no validation while training."""
    repeat_factor: RepeatFactor = "natural"
    """Oversampling of rare classes of the labeled set per epoch, as `hashtags.repeat_factor`."""
    unlabeled: Sources | None = None
    """Unlabeled examples for the teacher to score (U in the paper): a manifest, or a list of them. Each is scored by
    itself, so that one can be added later. Required by all approaches with a teacher."""
    weak: Sources | None = None
    """Examples with hashtags for weakly supervised pre-training (W in the paper): a manifest, or a list of them.
    Default: `unlabeled`, as in the paper."""
    unlabeled_labels: Source | None = None
    """Manifest with the true labels of unlabeled examples, for studies: the report then shows how many pseudo-labels
    are right, by class and rank. Nothing is trained on them. An empty label, or one that is not a class, makes each
    pseudo-label of the example wrong; examples that are missing do not count."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README describes the layout of these files. Error messages refer to it when a file
    is missing."""
    prepare: bool = False
    """Run that folder's prepare.py if the manifests are missing. For generated data such as the demo's."""

    @model_validator(mode="after")
    def _has_examples_for_labels(self) -> "Data":
        if self.unlabeled_labels and not self.unlabeled:
            raise ValueError("unlabeled_labels requires unlabeled: the examples that they are the labels of")
        if self.validation and not self.validation.manifest and not self.labeled:
            raise ValueError("validation: a split requires labeled: the examples that it is cut from")
        return self

    @property
    def hashtags(self) -> Sources | None:
        """The sources of hashtags: `weak`, or `unlabeled` if it is not set."""
        return self.weak or self.unlabeled


class Hashtags(Section):
    """Labels for weakly supervised pre-training: hashtags that match class names (docs/guides/hashtags.md)."""

    vocabulary: str | None = Field(None, min_length=1)
    """Vocabulary file (labels and their tag variants) as written by `vidsemi hashtags --output`. Default: generated
    from the class names and synonyms."""
    synonyms: str | None = Field(None, min_length=1)
    """CSV with the columns `class` and `tag`: extra tags for each class. Default: synonyms.csv in the folder of
    `data.dataset`, if it exists."""
    min_examples: PositiveInt = 50
    """Drop labels with fewer examples than this."""
    repeat_factor: RepeatFactor = "square_root"
    """Oversampling of rare labels per epoch. `natural`: none. `uniform`: n times, if the most frequent label has n
    times as many examples. `square_root`: the square root of that."""

    @model_validator(mode="after")
    def _has_one_source(self) -> "Hashtags":
        if self.vocabulary and self.synonyms:
            raise ValueError("set either vocabulary or synonyms, not both: a vocabulary contains its synonyms")
        return self
