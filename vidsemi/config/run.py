"""The config of a run: its sections, and what has to fit together between them.

Functions below the stages take the values they need, never the whole of it.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Fraction, Section
from vidsemi.config.data import Data
from vidsemi.config.hashtags import Hashtags
from vidsemi.config.input import Input
from vidsemi.config.log import Log
from vidsemi.config.model import TAUGHT, Approach, Network, Student, Teacher
from vidsemi.config.training import Train
from vidsemi.config.transfer import Target, check_targets


class Score(Section):
    """How the teacher scores U."""

    views: PositiveInt = 10
    """Clips a video, V, whose softmax is averaged."""
    crops: Literal[1, 10] = 1
    """Of each clip, or image: its centre; or its corners and centre, and their mirror images."""
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
    pretrained: bool = False
    """Test students that learn from a teacher before they are fine-tuned, too, as the paper's Table 2 does. In the
    results their approach ends in `_pretrained`."""
    crops: Literal[1, 10] = 1
    """Of each clip, or image: its centre; or its corners and centre, and their mirror images."""


class Runtime(Section):
    """What the run uses of the machine. Nothing here changes results but by rounding (see docs/results.md)."""

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    workers: int | None = Field(None, ge=0, le=1024)
    """Processes that decode; default: the number of cores. 0 decodes in the main process. In training each has up to
    four parts of a step ready, in shared memory."""
    seconds_per_file: float = Field(600, gt=0, le=1e7)
    """Scoring, evaluation, `manifest --verify`: limit for a file; one that takes longer cannot be read."""
    clips_per_forward: PositiveInt | None = None
    """Clips that go through the network at once when scoring and evaluating; default: 10 on a CPU, 64 elsewhere."""
    checkpoint_seconds: PositiveFloat = 300
    """Time between the checkpoints that a killed training goes on from."""
    checkpoint_steps: PositiveInt | None = None
    """Steps between them, too."""
    channels_last: bool | None = None
    """Layout of tensors in training; default: on CPUs, where it is faster (docs/performance.md)."""
    compile: bool = False
    """Train a network that `torch.compile` has made faster, which takes it a minute or so at every start."""


class Config(Section):
    """A run."""

    output: str
    """Directory of the run."""
    data: Data
    """Section Data."""
    teacher: Teacher | None = None
    """Needed by `semi_supervised` and `semi_weakly_supervised`."""
    students: tuple[Student, ...] = Field(min_length=1)
    """One or more: accuracy against FLOPs needs several."""
    approaches: tuple[Approach, ...] = Field(("supervised", "semi_supervised"), min_length=1)
    """By which of these every student is trained."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0,), min_length=1)
    """The run is repeated for each."""
    input: Input = Input()
    """Section Input."""
    hashtags: Hashtags = Hashtags()
    """Section Hashtags."""
    train: Train
    """Section Train."""
    score: Score = Score()
    """Section Score."""
    select: Select = Select()
    """Section Select."""
    evaluate: Evaluate = Evaluate()
    """Section Evaluate."""
    transfer: tuple[Target, ...] = ()
    """Section Target: datasets that every student is transferred to in the end."""
    runtime: Runtime = Runtime()
    """Section Runtime."""
    log: Log = Log()
    """Section Log."""

    def approaches_of(self, student: Student) -> tuple[Approach, ...]:
        """By which approaches a student is trained."""
        return student.approaches if student.approaches is not None else self.approaches

    @property
    def taught_by(self) -> tuple[Approach, ...]:
        """The approaches by which any student learns from a teacher; each has a teacher of its own."""
        return tuple(one for one in TAUGHT if any(one in self.approaches_of(student) for student in self.students))

    @property
    def learns_hashtags(self) -> bool:
        """Whether any network is pre-trained on W."""
        students = [student for student in self.students if "weakly_supervised" in self.approaches_of(student)]
        networks: list[Network | None] = [*students]
        if "semi_weakly_supervised" in self.taught_by:
            networks.append(self.teacher)
        return not all(network is None or network.weakly_pretrained for network in networks)

    @model_validator(mode="after")
    def _is_complete(self) -> "Config":
        lists = {"seeds": self.seeds, "approaches": self.approaches}
        lists |= {f"the approaches of student {student.name}": student.approaches or () for student in self.students}
        for key, values in lists.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names one of its values twice, which would count it twice")
        names = [student.name for student in self.students]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two students have the name '{name}'; give one another `name`")
        check_targets(self.transfer)
        self._has_a_use_for_its_weights()
        self._has_what_its_approaches_need()
        stored = self.score.per_example
        if stored is not None and stored < self.select.per_example:
            raise ValueError(
                f"score.per_example ({stored}) must not be below select.per_example ({self.select.per_example})"
            )
        return self

    def _has_what_its_approaches_need(self) -> None:
        train, data, used = self.train, self.data, {one for each in self.students for one in self.approaches_of(each)}
        taught: dict[str, object] = {
            "data.unlabeled": data.unlabeled,
            "teacher": self.teacher,
            "train.pretrain": train.pretrain,
            "train.finetune": train.finetune,
        }
        weak: dict[str, object] = {"train.weak_finetune": train.after_hashtags}
        if self.learns_hashtags:
            weak |= {"data.weak": data.hashtags, "train.weak_pretrain": train.weak_pretrain}
        needed: dict[str, dict[str, object]] = {
            "weakly_supervised": weak,
            "semi_supervised": taught,
            "semi_weakly_supervised": taught | weak,
        }
        for approach, keys in needed.items():
            for key, value in keys.items():
                if approach in used and value is None:
                    raise ValueError(f"the approach {approach} needs the key {key}")

    def _has_a_use_for_its_weights(self) -> None:
        """What is said of weights has to be what they are used for, or results would be called what they are not."""
        for student in self.students:
            if student.weakly_pretrained and "weakly_supervised" not in self.approaches_of(student):
                raise ValueError(
                    f"the weights of student {student.name} are weakly_pretrained, which only the approach "
                    "weakly_supervised begins with; it is none of its approaches"
                )
        teacher = self.teacher
        if teacher is None or not self.taught_by:
            return
        if teacher.train and "semi_supervised" not in self.taught_by:
            raise ValueError(
                "teacher.train is how a teacher is trained on D alone, for semi_supervised, which is not among the "
                "approaches; after hashtags it is train.weak_finetune"
            )
        if teacher.weakly_pretrained and "semi_weakly_supervised" not in self.taught_by:
            raise ValueError(
                "the weights of the teacher are weakly_pretrained, and the approach that begins with such, "
                "semi_weakly_supervised, is not among the approaches"
            )
        wanted = "semi_weakly_supervised" if teacher.weakly_pretrained else "semi_supervised"
        if teacher.frozen and self.taught_by != (wanted,):
            raise ValueError(
                f"a teacher that is trained already and {'' if teacher.weakly_pretrained else 'not '}weakly_pretrained "
                f"teaches by the approach {wanted} alone, not by {' and '.join(self.taught_by)}"
            )
