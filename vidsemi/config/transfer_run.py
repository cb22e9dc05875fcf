"""The config of `vidsemi transfer`: one trained network, and what it is transferred to."""

import re

from pydantic import Field, field_validator, model_validator

from vidsemi.config.base import Fraction, Section
from vidsemi.config.input import Shares
from vidsemi.config.log import Log
from vidsemi.config.run import Runtime
from vidsemi.config.transfer import Target, check_targets


class TransferConfig(Section):
    """A transfer of weights that are there already. `vidsemi transfer` takes the config of a run, too."""

    output: str
    """Directory of the results; several weights may share it."""
    transfer: tuple[Target, ...] = Field(min_length=1)
    """Section Target: one or more."""
    student: str | None = None
    """What the network is called in the results; default: MODEL_FRAMESf, without the zoo."""
    approach: str = "weights"
    """How it was trained, for the results: supervised, weakly_supervised, semi_supervised, semi_weakly_supervised."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the new head, the order, the augmentation and what is held out; and in the results."""
    random_resized_crop_scale: Shares | None = None
    """Shares of a frame that a training crop covers, as in Input; default: squares of the network's crop."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip in training; 0 where left and right are different classes."""
    runtime: Runtime = Runtime()
    """Section Runtime."""
    log: Log = Log()
    """Section Log."""

    @field_validator("student", "approach")
    @classmethod
    def _is_a_folder(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", value):
            raise ValueError("is no name for a folder: use up to 100 letters, digits and _ - + .")
        return value

    @model_validator(mode="after")
    def _has_different_targets(self) -> "TransferConfig":
        check_targets(self.transfer)
        return self
