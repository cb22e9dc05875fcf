"""The config of `vidsemi transfer`: transfer of one trained network."""

import re

from pydantic import Field, field_validator, model_validator

from vidsemi.config.base import Fraction, Section
from vidsemi.config.input import Shares
from vidsemi.config.log import Log
from vidsemi.config.run import Runtime
from vidsemi.config.transfer import Target, check_targets


class TransferConfig(Section):
    """The config of `vidsemi transfer`, which also accepts the config of a run."""

    output: str
    """Output directory. Several networks may share it."""
    transfer: tuple[Target, ...] = Field(min_length=1)
    """Section Target: one or more."""
    student: str | None = None
    """Name of the network in the results. Default: MODEL_FRAMESf, without the library."""
    approach: str = "weights"
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

    @field_validator("student", "approach")
    @classmethod
    def _is_a_folder(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", value):
            raise ValueError("is not a valid folder name: use up to 100 letters, digits and _ - + .")
        return value

    @model_validator(mode="after")
    def _has_different_targets(self) -> "TransferConfig":
        check_targets(self.transfer)
        return self
