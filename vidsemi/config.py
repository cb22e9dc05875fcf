"""The config of a run: every key, its default, its meaning and its check.

`config_file.py` reads it from YAML. Functions below the stages take the values they need, never the whole of it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Approach = Literal["supervised", "semi_supervised"]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A manifest and where its files lie. In a config a plain string is the manifest alone."""

    manifest: str
    """A .csv with a header or a .parquet (docs/manifests.md)."""
    root: str | None = None
    """Folder that the manifest's relative paths start from; default: the manifest's own folder."""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"manifest": value} if isinstance(value, str) else value


class Data(Section):
    """The corpora."""

    labeled: Source
    """D: examples with labels. Its labels are the classes, in alphabetical order."""
    test: Source
    """Labelled examples that nothing is trained on."""
    unlabeled: Source | None = None
    """U: examples that the teacher scores. Needed by `semi_supervised`."""
    dataset: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]+$")
    """Folder under datasets/ whose README tells how to lay out these files; named when one is missing."""
    prepare: bool = False
    """Run that folder's prepare.py when the manifests are missing. For data that is made, not downloaded."""


class Input(Section):
    """What networks take in. The clip length is the network's own (`frames`)."""

    stride: PositiveInt = 1
    """Step between the frames of a clip."""
    resize: tuple[PositiveInt, PositiveInt] = (128, 171)
    """Height and width that frames are scaled to."""
    crop: PositiveInt = 112
    """Side of the square cut from them: the centre at test, anywhere in training."""
    flip: Fraction = 0.5
    """Probability of a horizontal flip in training; 0 where left and right are different classes."""
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    """Mean of red, green and blue after division by 255; subtracted."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.22803, 0.22145, 0.216989)
    """Standard deviation of the same; divided by."""
    decoder: Literal["pyav", "decord", "torchcodec"] = "pyav"
    """Library that decodes the files it gets right; PyAV decodes all others (docs/decoding.md)."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Input":
        if self.crop > min(self.resize):
            raise ValueError(f"crop {self.crop} is larger than resize {list(self.resize)}")
        return self


class Recipe(Section):
    """One training: SGD with momentum on the softmax cross-entropy."""

    examples: PositiveInt
    """Length: examples processed in all, as the paper counts."""
    batch_size: PositiveInt
    """Examples a step."""
    learning_rate: PositiveFloat
    """Highest rate, for this batch size."""
    warmup_examples: int = Field(0, ge=0)
    """Examples over which the rate grows linearly to `learning_rate`."""
    warmup_from: NonNegativeFloat = 0.0
    """Rate at the very beginning of the warm-up."""
    schedule: Literal["steps", "cosine"] = "steps"
    """After the warm-up: `drops` equal steps down, or half a cosine to 0."""
    drops: int = Field(3, ge=0)
    """Times the rate drops, at equal distances over the whole length (for `steps`)."""
    drop_factor: Fraction = 0.1
    """What it is multiplied with at each drop."""
    momentum: Fraction = 0.9
    """Of SGD."""
    weight_decay: NonNegativeFloat = 1e-4
    """On all parameters."""
    clips_per_video: PositiveInt = 1
    """Clips drawn from a video each time it is opened, all in one batch; more make training wait less for decoding."""

    @model_validator(mode="after")
    def _steps_are_whole(self) -> "Recipe":
        for key in ("batch_size", "examples"):
            if getattr(self, key) % self.clips_per_video:
                raise ValueError(f"{key} {getattr(self, key)} is no multiple of clips_per_video {self.clips_per_video}")
        if self.batch_size > 1 and self.examples % self.batch_size == 1:
            raise ValueError(
                f"examples {self.examples} leave a last step of one example at batch_size {self.batch_size}, "
                "which batch normalisation cannot take: add or drop one"
            )
        return self


class Network(Section):
    """A network and its input length."""

    model: str
    """Name of the network, e.g. r2plus1d_18."""
    frames: PositiveInt
    """Clip length T; 1 for images."""
    args: dict[str, float] = {}
    """Arguments of the network's own, e.g. {width: 0.25}."""


class Teacher(Network):
    """The network that scores U."""

    train: Recipe | None = None
    """How it is trained on D; default: `train.supervised`."""


class Student(Network):
    """A network that is wanted in the end."""

    name: str = ""
    """In the results and as a folder; default: MODEL_FRAMESf."""
    approaches: tuple[Approach, ...] | None = None
    """Default: the run's `approaches`."""

    @model_validator(mode="after")
    def _name_it(self) -> "Student":
        name = self.name or f"{self.model}_{self.frames}f"
        if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", name):
            raise ValueError(f"'{name}' is no name for a folder: use up to 100 letters, digits and _ - + .")
        if name in ("teacher", "score", "select"):
            raise ValueError(f"the name '{name}' is taken by a stage")
        return self.model_copy(update={"name": name}) if name != self.name else self


class Train(Section):
    """The trainings of the students."""

    supervised: Recipe
    """On D alone, from fresh weights: the baseline (and the teacher, unless it has its own)."""
    pretrain: Recipe | None = None
    """On the selection D̂. Needed by `semi_supervised`."""
    finetune: Recipe | None = None
    """On D, from the pre-trained weights. Needed by `semi_supervised`."""


class Score(Section):
    """How the teacher scores U."""

    views: PositiveInt = 10
    """Clips a video, V, whose softmax is averaged."""
    per_example: PositiveInt | None = None
    """Classes stored an example; default: `select.per_example`."""
    shard_size: PositiveInt = 1000
    """Examples a part file, or the whole tars that fit into it: what a worker that is killed loses at most."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network; auto is bfloat16 on devices that compute with it (docs/scoring.md: what that changes)."""


class Select(Section):
    """How D̂ is chosen from the scores."""

    policy: Literal["balanced_ranked", "unbalanced_ranked", "balanced_with_tags", "random"] = "balanced_ranked"
    """balanced_ranked is the method; the others are what the paper's Table 5 holds against it (docs/selecting.md)."""

    per_class: PositiveInt = 4000
    """K: examples a class takes."""
    per_example: PositiveInt = 4
    """P: classes an example may be taken by."""
    min_score: Fraction = 0.0
    """Lowest score with which an example may be taken."""


class Evaluate(Section):
    """The test."""

    views: PositiveInt = 10
    """Clips a video whose softmax is averaged."""


class Machine(Section):
    """What the run uses of the machine. Nothing here changes the results, but for the last bits of a float."""

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    workers: int | None = Field(None, ge=0, le=1024)
    """Processes that decode; default: the number of cores. 0 decodes in the main process."""
    seconds_per_file: float = Field(600, gt=0, le=1e7)
    """Scoring, evaluation, `manifest --verify`: limit for a file; one that takes longer cannot be read."""
    clips_per_forward: PositiveInt | None = None
    """Clips that go through the network at once when scoring and evaluating; default: 10 on a CPU, 64 elsewhere."""
    checkpoint_seconds: PositiveFloat = 300
    """Time between the checkpoints that a killed training goes on from."""


class Config(Section):
    """A run."""

    output: str
    """Directory of the run."""
    data: Data
    """Section Data."""
    teacher: Teacher | None = None
    """Needed by `semi_supervised`."""
    students: tuple[Student, ...] = Field(min_length=1)
    """One or more: accuracy against FLOPs needs several."""
    approaches: tuple[Approach, ...] = Field(("supervised", "semi_supervised"), min_length=1)
    """By which of these every student is trained."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0,), min_length=1)
    """The run is repeated for each."""
    input: Input = Input()
    """Section Input."""
    train: Train
    """Section Train."""
    score: Score = Score()
    """Section Score."""
    select: Select = Select()
    """Section Select."""
    evaluate: Evaluate = Evaluate()
    """Section Evaluate."""
    machine: Machine = Machine()
    """Section Machine."""

    def approaches_of(self, student: Student) -> tuple[Approach, ...]:
        """By which approaches a student is trained."""
        return student.approaches if student.approaches is not None else self.approaches

    @property
    def has_teacher(self) -> bool:
        """Whether any student learns from a teacher."""
        return any("semi_supervised" in self.approaches_of(student) for student in self.students)

    @model_validator(mode="after")
    def _is_complete(self) -> "Config":
        for key in ("seeds", "approaches"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key} names one of its values twice, which would count it twice")
        names = [student.name for student in self.students]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two students have the name '{name}'; give one another `name`")
        if self.has_teacher:
            needed = {
                "data.unlabeled": self.data.unlabeled,
                "teacher": self.teacher,
                "train.pretrain": self.train.pretrain,
                "train.finetune": self.train.finetune,
            }
            for key, value in needed.items():
                if value is None:
                    raise ValueError(f"the approach semi_supervised needs the key {key}")
        stored = self.score.per_example
        if stored is not None and stored < self.select.per_example:
            raise ValueError(
                f"score.per_example ({stored}) must not be below select.per_example ({self.select.per_example})"
            )
        return self
