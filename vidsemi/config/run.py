"""The config of a run: its sections, and what has to fit together between them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Directory, Fraction, Log, Runtime, Section, check_names, check_unique
from vidsemi.config.data import Data, Hashtags
from vidsemi.config.model import TEACHER_APPROACHES, Approach, Input, Network, Student, Teacher, Teachers
from vidsemi.config.training import Train
from vidsemi.config.transfer import Target
from vidsemi.config.variants import Variants


class Score(Section):
    """How the teacher scores the unlabeled set."""

    views: PositiveInt = 10
    """Clips per video. Their softmax scores are averaged."""
    crops: Literal[1, 10] = 1
    """Crops per clip or image. 1: center crop. 10: four corners and center, each also flipped."""
    per_example: PositiveInt | None = None
    """Top classes to store per example. Default: `select.per_example`; of each of several teachers all classes, so that
    their mean is exact."""
    shard_size: PositiveInt = 1000
    """Examples per shard (or as many whole tars as fit): the most work a killed worker loses."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Inference precision. auto: bfloat16 if the device supports it natively (effect on scores:
    docs/guides/scoring.md). float16 is for GPUs before Ampere."""


class Select(Section):
    """How the pseudo-labeled set is selected from the scores."""

    policy: str = "balanced_ranked"
    """Selection policy: balanced_ranked (the method), unbalanced_ranked, balanced_with_tags, random (baselines, as in
    the paper's Table 5), or one of a plug-in (docs/guides/selecting.md)."""

    per_class: PositiveInt = 4000
    """Examples to select per class (K in the paper)."""
    per_example: PositiveInt = 4
    """Classes that may select the same example: its highest-scoring ones (P in the paper)."""
    min_score: Fraction = 0.0
    """Minimum score of a selected example."""
    targets: Literal["one_hot", "soft"] = "one_hot"
    """Training target of a selected example. `one_hot`, the method: 1/k on each of the k classes that selected it.
    `soft`, a control: its stored scores, renormalized (knowledge distillation; docs/guides/selecting.md). A soft target
    has `score.per_example` classes."""
    temperature: PositiveFloat = 1.0
    """Temperature of soft targets: scores are raised to the power 1/temperature before they are renormalized. Above 1
    they become more equal, below 1 less."""

    @model_validator(mode="after")
    def _temperature_is_used(self) -> "Select":
        if self.temperature != 1 and self.targets == "one_hot":
            raise ValueError(f"temperature {self.temperature:g} is that of soft targets; set targets: soft")
        return self


class Evaluate(Section):
    """Evaluation on the test set."""

    views: PositiveInt = 10
    """Clips per video. Their softmax scores are averaged."""
    pretrained: bool = False
    """Also evaluate students before fine-tuning, as in the paper's Table 2. The results list them with `_pretrained`
    appended to the approach."""
    crops: Literal[1, 10] = 1
    """Crops per clip or image. 1: center crop. 10: four corners and center, each also flipped."""


class Config(Section):
    """The config of a run."""

    output: Directory
    """Output directory of the run."""
    data: Data
    """Section Data."""
    teacher: Teachers | None = None
    """Section Teacher, or a list of them: the mean of their softmax scores selects. Required by `semi_supervised`,
    `semi_weakly_supervised` and `distilled`."""
    students: tuple[Student, ...] = Field(min_length=1)
    """Section Student: one or more."""
    approaches: tuple[Approach, ...] = Field(("supervised", "semi_supervised"), min_length=1)
    """Approaches to train every student by."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0,), min_length=1)
    """Random seeds. Everything is trained once per seed."""
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
    """Section Target: datasets to transfer every student to."""
    variants: Variants | None = None
    """Section Variants. Default: a single run."""
    runtime: Runtime = Runtime()
    """Section Runtime."""
    log: Log = Log()
    """Section Log."""

    def approaches_of(self, student: Student) -> tuple[Approach, ...]:
        """The approaches that train a student."""
        return student.approaches if student.approaches is not None else self.approaches

    @property
    def teachers(self) -> dict[str, Teacher]:
        """The teachers by their names in results and folders: `teacher`, or `teacher_1` and so on for several."""
        if not isinstance(self.teacher, tuple):
            return {"teacher": self.teacher} if self.teacher else {}
        one = len(self.teacher) == 1
        return {"teacher" if one else f"teacher_{number}": own for number, own in enumerate(self.teacher, start=1)}

    def teacher_key(self, name: str) -> str:
        """The key path of a teacher, given by name."""
        return f"teacher.{[*self.teachers].index(name)}" if isinstance(self.teacher, tuple) else "teacher"

    @property
    def teacher_approaches(self) -> tuple[Approach, ...]:
        """The approaches that train a student with a teacher; each has a teacher of its own."""
        used = {approach for student in self.students for approach in self.approaches_of(student)}
        return tuple(approach for approach in TEACHER_APPROACHES if approach in used)

    @property
    def trains_on_hashtags(self) -> bool:
        """Whether any network is pre-trained on hashtags."""
        students = [student for student in self.students if "weakly_supervised" in self.approaches_of(student)]
        networks: list[Network | None] = [*students]
        if "semi_weakly_supervised" in self.teacher_approaches:
            networks += self.teachers.values()
        return not all(network is None or network.weakly_pretrained for network in networks)

    @model_validator(mode="after")
    def _is_complete(self) -> "Config":
        check_unique("seeds", self.seeds)
        check_unique("approaches", self.approaches)
        for student in self.students:
            check_unique(f"the approaches of student {student.name}", student.approaches or ())
        check_names("students", [student.name for student in self.students])
        check_names("targets", [target.name for target in self.transfer])
        self._check_weights_are_used()
        self._check_required_keys()
        stored, used = self.score.per_example, self.select.per_example
        if stored is not None and stored < used:
            raise ValueError(f"score.per_example ({stored}) must not be below select.per_example ({used})")
        recipes = {f"train.{key}": getattr(self.train, key) for key in type(self.train).model_fields}
        recipes |= {f"{self.teacher_key(name)}.train": own.train for name, own in self.teachers.items()}
        check_names("students and teachers", [*(student.name for student in self.students), *self.teachers])
        for key, recipe in recipes.items():
            if recipe and recipe.keep == "best" and (key == "train.weak_pretrain" or not self.data.validation):
                needs = "has no validation set with hashtags" if self.data.validation else "requires data.validation"
                raise ValueError(f"{key}.keep: best {needs}")
        return self

    def _check_required_keys(self) -> None:
        """Refuse an approach whose data, networks or recipes are missing."""
        train, data, used = self.train, self.data, {one for each in self.students for one in self.approaches_of(each)}
        distilled: dict[str, object] = {"data.unlabeled": data.unlabeled, "teacher": self.teacher}
        distilled |= {"train.pretrain": train.pretrain}
        pseudo = distilled | {"train.finetune": train.finetune}
        labels: dict[str, object] = {"data.labeled": data.labeled, "data.test": data.test}
        labels |= {"train.supervised": train.supervised}
        weak: dict[str, object] = {"train.weak_finetune": train.after_hashtags}
        if self.trains_on_hashtags:
            weak |= {"data.weak": data.hashtags, "train.weak_pretrain": train.weak_pretrain}
        needed = {"supervised": labels, "weakly_supervised": labels | weak, "semi_supervised": labels | pseudo}
        needed |= {"semi_weakly_supervised": labels | pseudo | weak, "distilled": distilled}
        for approach, keys in needed.items():
            for key, value in keys.items():
                if approach in used and value is None:
                    raise ValueError(f"the approach {approach} requires the key {key}")

    def _check_weights_are_used(self) -> None:
        """Refuse weights or recipes that no approach uses: results would be reported under the wrong approach."""
        for student in self.students:
            if student.weakly_pretrained and "weakly_supervised" not in self.approaches_of(student):
                raise ValueError(
                    f"student {student.name} is weakly_pretrained; add weakly_supervised to its approaches"
                )
        for name, own in self.teachers.items() if self.teacher_approaches else ():
            self._check_teacher(self.teacher_key(name), own)

    def _check_teacher(self, key: str, teacher: Teacher) -> None:
        if teacher.train and "semi_supervised" not in self.teacher_approaches:
            raise ValueError(
                f"{key}.train is the recipe of the approach semi_supervised, which is not used here; "
                "after pre-training on hashtags the recipe is train.weak_finetune"
            )
        if "distilled" in self.teacher_approaches and not teacher.frozen:
            raise ValueError(f"the approach distilled uses a teacher as it is: set {key}.frozen: true")
        if teacher.weakly_pretrained and self.teacher_approaches == ("semi_supervised",):
            raise ValueError("the teacher is weakly_pretrained; add semi_weakly_supervised to the approaches")
        only = "semi_weakly_supervised" if teacher.weakly_pretrained else "semi_supervised"
        if teacher.frozen and not {*self.teacher_approaches} <= {only, "distilled"}:
            raise ValueError(
                f"a frozen teacher with weakly_pretrained: {str(teacher.weakly_pretrained).lower()} "
                f"can only teach the approach {only}, not {' and '.join(self.teacher_approaches)}"
            )
