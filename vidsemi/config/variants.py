"""Variants of a run: the same config with other values of some keys, as a study needs them."""

import re
from typing import Any

from pydantic import Field, model_validator

from vidsemi.config.base import FolderName, Section, check_unique

FIXED = ("output", "seeds", "runtime", "log", "variants")  # keys that all variants share
NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}")


class Variants(Section):
    """A study in one run: everything is trained once per variant; stages that variants share run once."""

    title: str | None = None
    """What varies, for the report. Default: the first key."""
    values: dict[str, tuple[Any, ...]] = Field(min_length=1)
    """Values by key, e.g. `select.per_class: [50, 100, 150]`. The lists of several keys are read side by side: the
    first variant has the first value of each."""
    names: tuple[FolderName, ...] = ()
    """Name of each variant, in results and folders. Default: the values of the first key. If all are numbers, the
    report draws accuracy against them."""

    @model_validator(mode="after")
    def _is_complete(self) -> "Variants":
        lengths = {key: len(values) for key, values in self.values.items()}
        if min(lengths.values()) < 1:
            raise ValueError(f"{min(lengths, key=lambda key: lengths[key])} has no values")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{key} {count}" for key, count in lengths.items())
            raise ValueError(f"all keys need as many values: {counts}")
        for key in self.values:
            if key.partition(".")[0] in FIXED:
                raise ValueError(f"{key} must be the same for all variants")
        if self.names and len(self.names) != len(self):
            raise ValueError(f"names lists {len(self.names)} names for {len(self)} variants")
        for name in self.variant_names:
            if not NAME.fullmatch(name):
                raise ValueError(f"'{name}' cannot be the name of a variant; set `names`")
        check_unique("names", self.variant_names)
        return self

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def variant_names(self) -> tuple[str, ...]:
        """The name of each variant."""
        return self.names or tuple(f"{value}" for value in next(iter(self.values.values())))

    @property
    def varied(self) -> str:
        """What varies."""
        return self.title or next(iter(self.values))
