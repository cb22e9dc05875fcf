"""The labels of weakly supervised pre-training."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from vidsemi.config.base import Section


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
            raise ValueError(
                "set either vocabulary or synonyms, not both: a vocabulary file already contains its synonyms"
            )
        return self
