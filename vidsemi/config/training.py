"""How networks are trained."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.section import Fraction, Section


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


class Train(Section):
    """The trainings of the students."""

    supervised: Recipe
    """On D alone, from fresh weights or `init_from`: the baseline (and the teacher, unless it has its own)."""
    weak_pretrain: Recipe | None = None
    """On the hashtags of W. Needed by `weakly_supervised` and `semi_weakly_supervised`, unless there are weights that
    are `weakly_pretrained`."""
    weak_finetune: Recipe | None = None
    """On D, from weights that hashtags taught; the head is new. Default: `finetune`."""
    pretrain: Recipe | None = None
    """On the selection D̂. Needed by `semi_supervised` and `semi_weakly_supervised`."""
    finetune: Recipe | None = None
    """On D, from the weights that D̂ taught. Needed by `semi_supervised` and `semi_weakly_supervised`."""

    @property
    def after_hashtags(self) -> Recipe | None:
        """On D, from weights that hashtags taught."""
        return self.weak_finetune or self.finetune
