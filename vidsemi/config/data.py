"""The corpora of a run."""

from typing import Any

from pydantic import Field, model_validator

from vidsemi.config.base import Section


class Source(Section):
    """A manifest and where its files lie. In a config a plain string is the manifest alone."""

    manifest: str
    """A .csv with a header or a .parquet (docs/manifests.md)."""
    root: str | None = None
    """Folder that the manifest's relative paths start from; default: the manifest's own folder."""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"manifest": value} if isinstance(value, str) else value


class Data(Section):
    """The corpora."""

    labeled: Source
    """D: examples with labels. Its labels are the classes, in alphabetical order."""
    test: Source
    """Labelled examples that nothing is trained on."""
    unlabeled: Source | None = None
    """U: examples that a teacher scores. Needed by `semi_supervised` and `semi_weakly_supervised`."""
    weak: Source | None = None
    """W: examples with hashtags, for the weak pre-training; default: `unlabeled`, as in the paper."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README tells how to lay out these files; named when one is missing."""
    prepare: bool = False
    """Run that folder's prepare.py when the manifests are missing. For data that is made, not downloaded."""

    @property
    def hashtags(self) -> Source | None:
        """W, wherever it is."""
        return self.weak or self.unlabeled
