"""Transfer: targets, protocols, and the config of `vidsemi transfer`."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Directory, FolderName, Fraction, Log, Runtime, Section, check_names, check_unique
from vidsemi.config.data import Cut, Source
from vidsemi.config.model import Shares
from vidsemi.config.training import Recipe

Protocol = Literal["full_ft", "fc_only"]


class Split(Section):
    """A train/test split."""

    train: Source
    """Labeled training examples. Their labels, sorted alphabetically, are the classes."""
    test: Source
    """Labeled test examples. Never used for training or for choosing hyperparameters."""


class FcOnly(Section):
    """Linear probe: logistic regression on the features before the head."""

    c_values: tuple[PositiveFloat, ...] = Field((1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0), min_length=1)
    """Candidates for C, the inverse L2 regularization strength. The value with the best accuracy on the validation
    split is used (ties: the smaller). A single value is used as it is."""
    validation: Cut = Cut(share=0.2)
    """Section Cut: the validation split of the training examples that C is chosen on, drawn by the network's seed."""
    max_iterations: PositiveInt = 1000
    """Iteration limit of the solver (L-BFGS). A warning tells if it did not converge."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "FcOnly":
        check_unique("c_values", self.c_values)
        return self


class Target(Section):
    """A dataset to transfer students to."""

    name: FolderName
    """Name in results and folders: up to 100 letters, digits and _ - + ."""
    train: Source | None = None
    """Labeled training examples. Their labels, sorted alphabetically, are the classes."""
    test: Source | None = None
    """Labeled test examples. Never used for training or for choosing hyperparameters."""
    splits: tuple[Split, ...] = ()
    """Several train/test splits, instead of `train` and `test`. The reported accuracy is their mean."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README describes the layout of these files. Error messages refer to it when a file
    is missing."""
    protocols: tuple[Protocol, ...] = Field(("full_ft", "fc_only"), min_length=1)
    """full_ft: full fine-tuning of the whole network with a new head. fc_only: linear probe on frozen features."""
    full_ft: Recipe | None = None
    """Training recipe of full fine-tuning. Required by the protocol full_ft."""
    fc_only: FcOnly = FcOnly()
    """Section FcOnly."""
    views: PositiveInt = 10
    """Clips per video. full_ft averages their softmax scores at test, fc_only their features. Images have one."""

    @property
    def all_splits(self) -> tuple[Split, ...]:
        """The splits; `train` and `test` are one split."""
        return self.splits or ((Split(train=self.train, test=self.test),) if self.train and self.test else ())

    @model_validator(mode="after")
    def _is_complete(self) -> "Target":
        if self.splits and (self.train or self.test):
            raise ValueError("give either train and test, or splits")
        if not self.all_splits:
            raise ValueError("train and test are missing, or splits of them")
        check_unique("protocols", self.protocols)
        if "full_ft" in self.protocols and self.full_ft is None:
            raise ValueError("the protocol full_ft requires a training recipe `full_ft` (or set protocols: [fc_only])")
        if self.full_ft and self.full_ft.keep == "best":
            raise ValueError("full_ft has no validation split: set keep to last")
        return self


class TransferConfig(Section):
    """The config of `vidsemi transfer`, which also accepts the config of a run."""

    output: Directory
    """Output directory. Several networks may share it."""
    transfer: tuple[Target, ...] = Field(min_length=1)
    """Section Target: one or more."""
    student: FolderName | None = None
    """Name of the network in the results. Default: MODEL_FRAMESf, without the library."""
    approach: FolderName = "weights"
    """Approach by which the network was trained, for the results: supervised, weakly_supervised, semi_supervised or
    semi_weakly_supervised."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed of the new head, data order, augmentation and validation split."""
    random_resized_crop_scale: Shares | None = None
    """RandomResizedCrop in training, as in Input. Default: random square crops of the network's size."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip in training. Set to 0 if classes differ by left and right."""
    runtime: Runtime = Runtime()
    """Section Runtime."""
    log: Log = Log()
    """Section Log."""

    @model_validator(mode="after")
    def _has_different_targets(self) -> "TransferConfig":
        check_names("targets", [target.name for target in self.transfer])
        return self
