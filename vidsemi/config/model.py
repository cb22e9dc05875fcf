"""The teacher, the students, and what networks take in: clip sampling, resizing, cropping and normalization."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, FiniteFloat, Tag, model_validator

from vidsemi.config.base import Fraction, Section, check_folder_name
from vidsemi.config.training import Recipe

HF_FOLDER = "hf:"  # how the name of a network begins that is a local folder in Hugging Face's layout
MAX_SIDE = 1 << 14  # pixels; what swscale and Pillow resize to without trouble
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Deviations = tuple[Deviation, Deviation, Deviation]
Frames = Annotated[int, Field(ge=1, le=1 << 16)]
Stride = Annotated[int, Field(ge=1, le=1 << 20)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


def _check_resize(value: Any) -> Any:  # one message for a value that is neither of two forms
    numbers = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not (whole and all(0 < number <= MAX_SIDE for number in numbers)):
        raise ValueError(f"must be [height, width], or one number: the length of the shorter side; up to {MAX_SIDE}")
    return value


Resize = Annotated[Side | tuple[Side, Side], BeforeValidator(_check_resize)]


def _check_shares(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1] <= 1:
        raise ValueError("must be two shares of a frame's area, the smaller first, above 0 and up to 1")
    return value


Shares = Annotated[tuple[float, float], AfterValidator(_check_shares)]


class Input(Section):
    """Clip sampling and preprocessing. Networks from a model library default to their own pretrained config instead."""

    stride: Stride = 1
    """Step between sampled frames: 2 takes every second frame."""
    resize: Resize = (128, 171)
    """Resize frames to [height, width], or to this length of the shorter side."""
    crop: Side = 112
    """Side of the square crop: center crop at test, random crop in training."""
    random_resized_crop_scale: Shares | None = None
    """Use RandomResizedCrop in training: crop a random share of the frame's area between these two values, e.g. [0.08,
    1], with an aspect ratio of 3:4 to 4:3, and resize it to `crop` × `crop`. Images are cropped at full resolution."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip in training. Set to 0 if classes differ by left and right."""
    mean: Triple = (0.43216, 0.394666, 0.37645)
    """RGB mean to subtract, for pixel values in [0, 1]."""
    std: Deviations = (0.22803, 0.22145, 0.216989)
    """RGB standard deviation to divide by, for pixel values in [0, 1]."""
    decoder: Literal["pyav", "decord", "torchcodec"] = "pyav"
    """Video decoder. decord and torchcodec read only files they decode correctly; PyAV reads the others
    (docs/guides/decoding.md)."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Input":
        if self.crop > (self.resize if isinstance(self.resize, int) else min(self.resize)):
            resize = self.resize if isinstance(self.resize, int) else list(self.resize)
            raise ValueError(f"crop {self.crop} is larger than resize {resize}")
        return self


class OwnInput(Section):
    """One network's overrides of Input."""

    stride: Stride | None = None
    """Step between sampled frames: 2 takes every second frame."""
    resize: Resize | None = None
    """Resize frames to [height, width], or to this length of the shorter side."""
    crop: Side | None = None
    """Side of the square crop."""
    mean: Triple | None = None
    """RGB mean, for pixel values in [0, 1]."""
    std: Deviations | None = None
    """RGB standard deviation, for pixel values in [0, 1]."""


Approach = Literal["supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised", "distilled"]
TEACHER_APPROACHES: tuple[Approach, ...] = ("semi_supervised", "semi_weakly_supervised", "distilled")
Value = bool | int | float | str


def _check_args(value: Any) -> Any:  # one message for a value of none of the types
    for name, given in value.items() if isinstance(value, dict) else ():
        if not isinstance(given, Value) or (isinstance(given, float) and not math.isfinite(given)):
            raise ValueError(f"{name} must be a finite number, a string, true or false, not {given!r}")
    return value


Args = Annotated[dict[str, Value], BeforeValidator(_check_args)]


class Network(Section):
    """A network, its clip length and its initial weights."""

    model: str
    """Model name, e.g. r2plus1d_18, torchvision/mvit_v2_s, or one of a plug-in (docs/extending.md). `vidsemi models`
    lists them. hf:DIR is the network in a local folder of Hugging Face's layout (docs/guides/public-teachers.md)."""
    frames: Frames | None = None
    """Frames per clip; 1 for images. Default: that of the model library or plug-in; R(2+1)D has none."""
    args: Args = Field({})
    """Model arguments, e.g. {width: 0.25} or {stem: cifar}."""
    input: OwnInput = OwnInput()
    """Section OwnInput."""
    init_from: str | None = Field(None, min_length=1)
    """Initial weights: a file, a folder or an https:// address (docs/guides/models.md); for hf:DIR by default those in
    DIR. The classification head is kept if its classes are those of the labeled set (or as many, if the file names
    none), and reinitialized otherwise."""

    weakly_pretrained: bool = False
    """Set to true if the weights in `init_from` were pre-trained on hashtags. They then replace weakly supervised
    pre-training (a student's for `weakly_supervised`, the teacher's for `semi_weakly_supervised`); other approaches
    start from random weights."""

    @model_validator(mode="before")
    @classmethod
    def _weights_of_its_folder(cls, values: Any) -> Any:
        model = values.get("model") if isinstance(values, dict) else None
        if isinstance(model, str) and model.startswith(HF_FOLDER) and values.get("init_from") is None:
            return {**values, "init_from": model.removeprefix(HF_FOLDER)}
        return values

    @model_validator(mode="after")
    def _is_complete(self) -> "Network":
        if self.weakly_pretrained and not self.init_from:
            raise ValueError("weakly_pretrained requires init_from")
        return self


class Teacher(Network):
    """The network that scores the unlabeled set."""

    train: Recipe | None = None
    """Training recipe of the `semi_supervised` teacher on the labeled set. Default: `train.supervised`."""
    frozen: bool = False
    """Use the weights in `init_from` as the teacher without training, as `distilled` requires. Its classes are matched
    by name to those of the labeled set (docs/guides/pretrained-teacher.md); weights without names must have them in
    alphabetical order."""
    classes: str | None = Field(None, min_length=1)
    """Text file with the names of a frozen teacher's outputs, one a line in their order. Default: the names that its
    weights bring."""
    class_map: str | None = Field(None, min_length=1)
    """CSV file with the columns `teacher_class` and `class`: which class an output of a frozen teacher stands for. The
    scores of several outputs of one class are added; outputs that are left out are dropped. Default: equal names."""

    @model_validator(mode="after")
    def _is_there(self) -> "Teacher":
        if self.frozen and not self.init_from:
            raise ValueError("frozen requires init_from: the weights of the trained teacher")
        if self.frozen and self.train:
            raise ValueError("a frozen teacher is not trained: remove its recipe `train`")
        for key in ("classes", "class_map"):
            if getattr(self, key) and not self.frozen:
                raise ValueError(
                    f"{key} requires frozen: true; a teacher that is trained gets the labels as its classes"
                )
        return self


def _tag(value: Any) -> str:
    return LIST if isinstance(value, list | tuple) else ONE


ONE, LIST = "one teacher", "several teachers"  # pydantic puts them into the places of errors
Teachers = Annotated[
    Annotated[Teacher, Tag(ONE)] | Annotated[tuple[Teacher, ...], Field(min_length=1), Tag(LIST)], Discriminator(_tag)
]


class Student(Network):
    """A student network: trained, evaluated and reported."""

    name: str = ""
    """Name in results and folders. Default: MODEL_FRAMESf, without the library."""
    approaches: tuple[Approach, ...] | None = Field(None, min_length=1)
    """Approaches for this student. Default: the run's `approaches`."""

    @model_validator(mode="after")
    def _name_it(self) -> "Student":
        length = f"_{self.frames}f" if self.frames else ""
        own = self.model.removeprefix(HF_FOLDER).rstrip("/").rpartition("/")[2]
        name = check_folder_name(self.name or f"{own}{length}")
        if name in ("teacher", "weakly_supervised_teacher", "score", "select"):
            raise ValueError(f"the name '{name}' is reserved for a stage")
        return self.model_copy(update={"name": name}) if name != self.name else self
