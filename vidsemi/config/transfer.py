"""What students are transferred to after they were trained, and how."""

import re
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Section
from vidsemi.config.data import Source
from vidsemi.config.training import Recipe

Protocol = Literal["full_ft", "fc_only"]


class Split(Section):
    """A training set and its test set."""

    train: Source
    """Examples with labels. Its labels are the classes, in alphabetical order."""
    test: Source
    """Labelled examples that nothing is trained on and nothing is chosen by."""


class FcOnly(Section):
    """The logistic regressor on features of the layer before the head."""

    c_values: tuple[PositiveFloat, ...] = Field((1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0), min_length=1)
    """C, the inverse strength of its L2 penalty: the value is taken that is best on the part of the training data that
    is held out for this, the smaller one of equals. A single value is taken as it is."""
    held_out: float = Field(0.2, gt=0, lt=1)
    """Share of each class's training examples that is held out."""
    group: str | None = None
    """Regular expression with one group in brackets, found in the paths of training examples: those of a class with the
    same text there are held out together or not at all, e.g. `_(g\\d+)_c\\d+` for clips of one video in UCF101."""
    max_iterations: PositiveInt = 1000
    """Most iterations of the solver (L-BFGS); where it does not converge in these, a warning says so."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "FcOnly":
        if len(set(self.c_values)) < len(self.c_values):
            raise ValueError("c_values names one of its values twice")
        if self.group is not None:
            try:
                groups = re.compile(self.group).groups
            except re.error as error:
                raise ValueError(f"group is no regular expression: {error}") from None
            if groups != 1:
                raise ValueError(
                    f"group needs exactly one pair of brackets, around what names a group; it has {groups}"
                )
        return self


class Target(Section):
    """A dataset that students are transferred to: training and test set, or several splits of them."""

    name: str = Field(pattern=r"^[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}$")
    """In the results and as a folder: up to 100 letters, digits and _ - + ."""
    train: Source | None = None
    """Examples with labels. Its labels are the classes, in alphabetical order."""
    test: Source | None = None
    """Labelled examples that nothing is trained on and nothing is chosen by."""
    splits: tuple[Split, ...] = ()
    """Instead of `train` and `test`: several of both; the accuracy is the mean over them."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README tells how to lay out these files; named when one is missing."""
    protocols: tuple[Protocol, ...] = Field(("full_ft", "fc_only"), min_length=1)
    """full_ft trains the whole network on, with a new head; fc_only a logistic regressor on features."""
    full_ft: Recipe | None = None
    """How the whole network is trained. Needed by the protocol full_ft."""
    fc_only: FcOnly = FcOnly()
    """Section FcOnly."""
    views: PositiveInt = 10
    """Clips a video: at test their softmax is averaged, for fc_only their features. An image has one."""

    @property
    def all_splits(self) -> tuple[Split, ...]:
        """The splits, also where there is one."""
        return self.splits or ((Split(train=self.train, test=self.test),) if self.train and self.test else ())

    @model_validator(mode="after")
    def _is_complete(self) -> "Target":
        if self.splits and (self.train or self.test):
            raise ValueError("give either train and test, or splits")
        if not self.all_splits:
            raise ValueError("train and test are missing, or splits of them")
        if len(set(self.protocols)) < len(self.protocols):
            raise ValueError("protocols names one of its values twice")
        if "full_ft" in self.protocols and self.full_ft is None:
            raise ValueError("the protocol full_ft needs a recipe: the key full_ft (or set protocols: [fc_only])")
        return self


def check_targets(targets: tuple[Target, ...]) -> None:
    """Refuse two targets of one name, whose results could not be told apart."""
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two targets have the name '{name}'")
