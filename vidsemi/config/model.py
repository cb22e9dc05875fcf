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
            raise ValueError(f"{name} must be a number, a text, true or false, not {given!r}")
    return value


Args = Annotated[dict[str, Value], BeforeValidator(_check_args)]


class Network(Section):
    """A network and its input length."""

    model: str
    """Name of the network, e.g. r2plus1d_18 or torchvision/mvit_v2_s; `vidsemi models` lists them."""
    frames: PositiveInt | None = None
    """Clip length T; 1 for images. A network of a zoo may leave it out, and has what it was made for."""
    args: Args = Field({})
    """Arguments of the network's own, e.g. {width: 0.25} or {stem: cifar}."""
    input: OwnInput = OwnInput()
    """Section OwnInput."""
    init_from: str | None = Field(None, min_length=1)
    """Weights to begin with instead of fresh ones: a file or an https:// address (docs/models.md). The head is kept
    where its classes are those of D, or as many where a file names none, and is fresh otherwise."""

    weakly_pretrained: bool = False
    """Whether hashtags taught the weights of `init_from`. They then take the place of the weak pre-training on W (of a
    student for `weakly_supervised`, of the teacher for `semi_weakly_supervised`), and other approaches begin afresh."""

    @model_validator(mode="after")
    def _says_from_what(self) -> "Network":
        if self.weakly_pretrained and not self.init_from:
            raise ValueError("weakly_pretrained is said of the weights of init_from, and that key is missing")
        return self

    @model_validator(mode="after")
    def _has_frames(self) -> "Network":
        if self.frames is None and "/" not in self.model:
            raise ValueError("the key frames is missing (a clip length of its own has only a network of a zoo/…)")
        return self


class Teacher(Network):
    """The network that scores U."""

    train: Recipe | None = None
    """How it is trained on D alone, for `semi_supervised`; default: `train.supervised`."""
    frozen: bool = False
    """Whether `init_from` is the teacher already, and is not trained any more. Its classes have to be those of D in
    alphabetical order."""

    @model_validator(mode="after")
    def _is_there(self) -> "Teacher":
        if self.frozen and not self.init_from:
            raise ValueError("frozen needs init_from: the weights of the trained teacher")
        if self.frozen and self.train:
            raise ValueError("a teacher that is trained already takes no recipe `train`")
        return self


class Student(Network):
    """A network that is wanted in the end."""

    name: str = ""
    """In the results and as a folder; default: MODEL_FRAMESf, without the zoo."""
    approaches: tuple[Approach, ...] | None = Field(None, min_length=1)
    """Default: the run's `approaches`."""

    @model_validator(mode="after")
    def _name_it(self) -> "Student":
        length = f"_{self.frames}f" if self.frames else ""
        name = self.name or f"{self.model.rpartition('/')[2]}{length}"
        if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", name):
            raise ValueError(f"'{name}' is no name for a folder: use up to 100 letters, digits and _ - + .")
        if name in ("teacher", "weakly_supervised_teacher", "score", "select"):
            raise ValueError(f"the name '{name}' is taken by a stage")
        return self.model_copy(update={"name": name}) if name != self.name else self
