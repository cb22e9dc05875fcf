"""How networks are trained."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from vidsemi.config.base import Fraction, Section


class Recipe(Section):
    """One training: SGD with momentum on the softmax cross-entropy."""

    examples: PositiveInt
    """Length: examples processed in all, as the paper counts."""
    batch_size: PositiveInt
    """Examples a step, of all processes together."""
    micro_batches: PositiveInt | None = None
    """Gradient accumulation: micro-batches that a step's batch is split into. Batch norm sees one at a time, as on so
    many GPUs (the paper: 64 of 24). Each process takes its share of them, one after another. Default: one a process."""
    learning_rate: PositiveFloat
    """Highest rate, for this batch size, or the one that `base_batch_size` says."""
    base_batch_size: PositiveInt | None = None
    """Batch size that `learning_rate` is meant for; it grows with `batch_size` in proportion (0.1 for 256 is 0.6 for
    1,536)."""
    warmup_examples: int = Field(0, ge=0)
    """Examples over which the rate grows linearly to `learning_rate`."""
    warmup_start_lr: NonNegativeFloat = 0.0
    """Rate at the very beginning of the warm-up, whatever the batch size."""
    schedule: Literal["steps", "cosine"] = "steps"
    """After the warm-up: `lr_steps` equal steps down, or half a cosine to 0."""
    lr_steps: int = Field(3, ge=0)
    """Times the rate drops, at equal distances over the whole length (for `steps`)."""
    lr_gamma: Fraction = 0.1
    """What it is multiplied with at each drop."""
    momentum: Fraction = 0.9
    """Of SGD."""
    nesterov: bool = False
    """Nesterov's momentum."""
    weight_decay: NonNegativeFloat = 1e-4
    """Of SGD."""
    no_decay_norm_and_bias: bool = False
    """No weight decay on biases and normalisation parameters."""
    max_grad_norm: PositiveFloat | None = None
    """Longest gradient; longer ones are shortened to it."""
    label_smoothing: Fraction = 0.0
    """Share of a target that is spread over all classes."""
    mixup: NonNegativeFloat = 0.0
    """α of the Beta distribution by which clips and their targets are mixed in pairs; 0 mixes nothing."""
    ema: Fraction | None = None
    """Decay, a step, of a moving average of the weights, which is then what the training gives."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and linear layers; weights, batch norm and the loss are float32 in any case."""
    sync_batch_norm: bool = False
    """Batch norm sees the parts that all processes have at a time as one, and not each its own."""
    precise_batch_norm: int = Field(0, ge=0)
    """Steps after the last that learn nothing, over which the statistics of batch norm are averaged anew (0: none);
    every process goes through all of them."""
    clips_per_video: PositiveInt = 1
    """Clips drawn from a video each time it is opened, all in one batch; more make training wait less for decoding."""

    @property
    def peak_rate(self) -> float:
        """The highest rate, for the batch size that there is."""
        return self.learning_rate * self.batch_size / (self.base_batch_size or self.batch_size)

    def micro_batches_for(self, processes: int) -> int:
        """Micro-batches of a step on so many processes.

        Raises:
            ValueError: the processes do not divide them, or one of them is too small for batch norm.
        """
        count = self.micro_batches or processes
        if count % processes:
            raise ValueError(f"micro_batches {count} is not a multiple of the {processes} processes")
        last = self.examples % self.batch_size or self.batch_size
        least = 1 if self.sync_batch_norm and processes > 1 else 2  # videos; batch norm cannot normalise a single value
        needed = least * count * self.clips_per_video
        if count > 1 and self.batch_size < needed:
            raise ValueError(
                f"batch_size {self.batch_size} is too small for {count} micro-batches of at least {least} videos"
            )
        if count > 1 and last < needed:
            raise ValueError(
                f"examples {self.examples} leave a last step of {last}, too few for {count} micro-batches of at least "
                f"{least} videos"
            )
        return count

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
        self.micro_batches_for(self.micro_batches or 1)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum")
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
