"""The datasets of a run, and the labels that hashtags stand for."""

from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from vidsemi.config.base import Section


class Source(Section):
    """A manifest and the folder its paths start from. A plain string is a manifest alone."""

    manifest: str
    """Manifest file: .csv with a header, or .parquet (docs/manifests.md)."""
    root: str | None = None
    """Folder that relative paths in the manifest start from. Default: the manifest's own folder."""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"manifest": value} if isinstance(value, str) else value


class Data(Section):
    """The datasets."""

    labeled: Source
    """Labeled examples (D in the paper). Their labels, sorted alphabetically, are the classes."""
    test: Source
    """Labeled test examples. Never trained on."""
    unlabeled: Source | None = None
    """Unlabeled examples for the teacher to score (U in the paper). Required by `semi_supervised` and
    `semi_weakly_supervised`."""
    weak: Source | None = None
    """Examples with hashtags for weakly supervised pre-training (W in the paper). Default: `unlabeled`, as in the
    paper."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README describes the layout of these files. Error messages refer to it when a file
    is missing."""
    prepare: bool = False
    """Run that folder's prepare.py if the manifests are missing. For generated data such as the demo's."""

    @property
    def hashtags(self) -> Source | None:
        """The source of hashtags: `weak`, or `unlabeled` if it is not set."""
        return self.weak or self.unlabeled


class Hashtags(Section):
    """Labels for weakly supervised pre-training: hashtags that match class names (docs/hashtags.md)."""

    vocabulary: str | None = Field(None, min_length=1)
    """Vocabulary file (labels and their tag variants) as written by `vidsemi hashtags --output`. Default: generated
    from the class names and synonyms."""
    synonyms: str | None = Field(None, min_length=1)
    """CSV with the columns `class` and `tag`: extra tags for each class. Default: synonyms.csv in the folder of
    `data.dataset`, if it exists."""
    min_examples: PositiveInt = 50
    """Drop labels with fewer examples than this."""
    repeat_factor: Literal["natural", "square_root", "uniform"] = "square_root"
    """Oversampling of rare labels per epoch. `natural`: none. `uniform`: n times, if the most frequent label has n
    times as many examples. `square_root`: the square root of that."""

    @model_validator(mode="after")
    def _has_one_source(self) -> "Hashtags":
        if self.vocabulary and self.synonyms:
            raise ValueError("set either vocabulary or synonyms, not both: a vocabulary contains its synonyms")
        return self
