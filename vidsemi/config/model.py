"""The teacher and the students."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from vidsemi.config.base import Section
from vidsemi.config.input import OwnInput
from vidsemi.config.training import Recipe

Approach = Literal["supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised"]
TAUGHT: tuple[Approach, ...] = ("semi_supervised", "semi_weakly_supervised")  # the approaches with a teacher
Value = bool | int | float | str


def _check_args(value: Any) -> Any:
    """One message for a value of none of the types."""
    for name, given in value.items() if isinstance(value, dict) else ():
        if not isinstance(given, Value):
            raise ValueError(f"{name} must be a number, a string, true or false, not {given!r}")
    return value


Args = Annotated[dict[str, Value], BeforeValidator(_check_args)]


class Network(Section):
    """A network, its clip length and its initial weights."""

    model: str
    """Model name, e.g. r2plus1d_18 or torchvision/mvit_v2_s. `vidsemi models` lists them."""
    frames: PositiveInt | None = None
    """Frames per clip; 1 for images. Optional for model libraries (names with a slash), which have a default."""
    args: Args = Field({})
    """Model arguments, e.g. {width: 0.25} or {stem: cifar}."""
    input: OwnInput = OwnInput()
    """Section OwnInput."""
    init_from: str | None = Field(None, min_length=1)
    """Initial weights: a file or an https:// address (docs/models.md). The classification head is kept if its classes
    are those of the labeled set (or as many, if the file names none), and reinitialized otherwise."""

    weakly_pretrained: bool = False
    """Set to true if the weights in `init_from` were pre-trained on hashtags. They then replace weakly supervised
    pre-training (a student's for `weakly_supervised`, the teacher's for `semi_weakly_supervised`); other approaches
    start from random weights."""

    @model_validator(mode="after")
    def _says_from_what(self) -> "Network":
        if self.weakly_pretrained and not self.init_from:
            raise ValueError("weakly_pretrained requires init_from")
        return self

    @model_validator(mode="after")
    def _has_frames(self) -> "Network":
        if self.frames is None and "/" not in self.model:
            raise ValueError(
                "the key frames is missing; only models of a library (names with a slash) have a default clip length"
            )
        return self


class Teacher(Network):
    """The network that scores the unlabeled set."""

    train: Recipe | None = None
    """Training recipe of the `semi_supervised` teacher on the labeled set. Default: `train.supervised`."""
    frozen: bool = False
    """Use the weights in `init_from` as the teacher without training. Its classes must be those of the labeled set, in
    alphabetical order."""

    @model_validator(mode="after")
    def _is_there(self) -> "Teacher":
        if self.frozen and not self.init_from:
            raise ValueError("frozen requires init_from: the weights of the trained teacher")
        if self.frozen and self.train:
            raise ValueError("a frozen teacher is not trained: remove its recipe `train`")
        return self


class Student(Network):
    """A student network: trained, evaluated and reported."""

    name: str = ""
    """Name in results and folders. Default: MODEL_FRAMESf, without the library."""
    approaches: tuple[Approach, ...] | None = Field(None, min_length=1)
    """Approaches for this student. Default: the run's `approaches`."""

    @model_validator(mode="after")
    def _name_it(self) -> "Student":
        length = f"_{self.frames}f" if self.frames else ""
        name = self.name or f"{self.model.rpartition('/')[2]}{length}"
        if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", name):
            raise ValueError(f"'{name}' is not a valid folder name: use up to 100 letters, digits and _ - + .")
        if name in ("teacher", "weakly_supervised_teacher", "score", "select"):
            raise ValueError(f"the name '{name}' is reserved for a stage")
        return self.model_copy(update={"name": name}) if name != self.name else self
