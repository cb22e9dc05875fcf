"""What is learnt from the hashtags of W."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from vidsemi.config.base import Section


class Hashtags(Section):
    """The labels of the weak pre-training: hashtags that mean classes of D (docs/hashtags.md)."""

    vocabulary: str | None = Field(None, min_length=1)
    """The labels and their tags, as `vidsemi hashtags --output` writes them; default: made of the names of the classes
    and their synonyms."""
    synonyms: str | None = Field(None, min_length=1)
    """CSV with the columns `class` and `tag`: further tags of the classes; default: synonyms.csv in the folder of
    `data.dataset`, where there is one."""
    min_examples: PositiveInt = 50
    """Labels that fewer examples of W carry are dropped."""
    repeat_factor: Literal["natural", "square_root", "uniform"] = "square_root"
    """How often examples of rare tags are repeated: not at all, by the square root of how much rarer a tag is than the
    most frequent one, or as much as it is rarer."""

    @model_validator(mode="after")
    def _has_one_source(self) -> "Hashtags":
        if self.vocabulary and self.synonyms:
            raise ValueError("a vocabulary has the synonyms in it: leave out one of the keys vocabulary and synonyms")
        return self
