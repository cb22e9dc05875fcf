"""Training recipes."""

from typing import Any, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vidsemi.config.base import Fraction, Section


class Recipe(Section):
    """A training recipe: SGD with momentum, or AdamW, on softmax cross-entropy."""

    ADDED: ClassVar[tuple[str, ...]] = (
        "optimizer",
        "layer_decay",
        "freeze_until",
        "frozen_batch_norm",
        "gradient_checkpointing",
    )

    examples: PositiveInt
    """Training length in examples processed: epochs × dataset size."""
    batch_size: PositiveInt
    """Examples per optimizer step, over all processes (global batch size)."""
    micro_batches: PositiveInt | None = None
    """Gradient accumulation: number of micro-batches per step. Batch norm sees one micro-batch at a time, as on that
    many GPUs (the paper: 64 of 24). Each process computes its share of them in turn. Default: one per process."""
    learning_rate: PositiveFloat
    """Peak learning rate, for `batch_size`, or for `base_batch_size` if that is set."""
    base_batch_size: PositiveInt | None = None
    """Linear scaling rule: batch size that `learning_rate` is given for (0.1 at 256 becomes 0.6 at 1,536)."""
    warmup_examples: int = Field(0, ge=0)
    """Length of the linear warm-up, in examples."""
    warmup_start_lr: NonNegativeFloat = 0.0
    """Learning rate at the start of the warm-up; not scaled by the batch size."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Learning rate schedule after the warm-up: `steps` (step decay) or `cosine` (half a cosine down to 0)."""
    lr_steps: int = Field(3, ge=0)
    """Number of learning rate drops for `steps`, equally spaced over the whole length."""
    lr_gamma: Fraction = 0.1
    """Factor of each learning rate drop."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimizer: `sgd` with momentum, as in the paper, or `adamw` (β 0.9 and 0.999), as transformers are fine-tuned."""
    momentum: Fraction = 0.9
    """SGD momentum."""
    nesterov: bool = False
    """Nesterov momentum."""
    weight_decay: NonNegativeFloat = 1e-4
    """SGD weight decay (L2); of `adamw` decoupled from the gradient."""
    no_decay_norm_and_bias: bool = False
    """Exclude biases and normalization parameters from weight decay."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Layer-wise learning rate decay: factor from one layer to the layer before it, for fine-tuning. The head has the
    recipe's learning rate. 1: all layers have it."""
    freeze_until: str | None = Field(None, min_length=1)
    """Name of a module of the network: the weights and batch norm statistics of everything that the network lists
    before it stay fixed, such as `layer3` of an R(2+1)D. Default: everything is trained."""
    frozen_batch_norm: bool = False
    """Batch norm uses its running statistics in training, too, and keeps them and its weights as they are: for
    fine-tuning with small batches."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of each layer for the backward pass and compute the rest again: less memory, slower, same
    result."""
    max_grad_norm: PositiveFloat | None = None
    """Maximum gradient norm (gradient clipping). Default: no clipping."""
    label_smoothing: Fraction = 0.0
    """Label smoothing: share of the target spread evenly over all classes."""
    mixup: NonNegativeFloat = 0.0
    """Mixup α: parameter of the Beta distribution. 0: no mixup."""
    ema: Fraction | None = None
    """Decay per step of an exponential moving average (EMA) of the weights, saved as the result. Default: no EMA."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of convolutions and linear layers (mixed precision). Weights, batch norm and loss stay float32."""
    sync_batch_norm: bool = False
    """Synchronized batch norm: statistics over the current micro-batches of all processes."""
    precise_batch_norm: int = Field(0, ge=0)
    """Precise batch norm: re-estimate batch norm statistics over this many forward steps after training (0: off). Every
    process computes all of them."""
    validations: PositiveInt = 10
    """Number of validations in this training, equally spaced, if there is `data.validation`; the last is at its end."""
    keep: Literal["last", "best"] = "last"
    """The weights to keep: the last ones, or those with the best top-1 on `data.validation` (ties: the later)."""
    clips_per_video: PositiveInt = 1
    """Clips per video each time it is opened, all in the same batch. More clips reduce the time spent on decoding."""

    @property
    def peak_rate(self) -> float:
        """The peak learning rate, scaled to `batch_size`."""
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
        least = 1 if self.sync_batch_norm and processes > 1 else 2  # videos; batch norm cannot normalize a single value
        needed = least * count * self.clips_per_video
        if count > 1 and self.batch_size < needed:
            raise ValueError(f"batch_size {self.batch_size} is too small for {count} micro-batches of {least} videos")
        if count > 1 and last < needed:
            raise ValueError(
                f"examples {self.examples} leave a last step of {last}, "
                f"which is too small for {count} micro-batches of {least} videos"
            )
        return count

    @model_validator(mode="after")
    def _steps_are_whole(self) -> "Recipe":
        for key, value in {"batch_size": self.batch_size, "examples": self.examples}.items():
            if value % self.clips_per_video:
                raise ValueError(f"{key} {value} is not a multiple of clips_per_video {self.clips_per_video}")
        if self.batch_size > 1 and self.examples % self.batch_size == 1:
            raise ValueError(
                f"examples {self.examples} leave a last step of one example at batch_size {self.batch_size}, "
                "which batch norm cannot normalize: add or remove one"
            )
        if self.batch_size > self.examples:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than examples {self.examples}, the length of the training: "
                "it would be a single smaller step"
            )
        if self.warmup_examples >= self.examples:
            raise ValueError(
                f"warmup_examples {self.warmup_examples} is not below examples {self.examples}, the length of the "
                "training: the learning rate would never reach its peak"
            )
        self.micro_batches_for(self.micro_batches or 1)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov requires a momentum")
        return self

    @model_validator(mode="after")
    def _options_agree(self) -> "Recipe":
        if self.optimizer == "adamw" and (self.nesterov or self.momentum != 0.9):
            raise ValueError("nesterov and momentum are options of optimizer: sgd; leave them out with adamw")
        if self.frozen_batch_norm and (self.sync_batch_norm or self.precise_batch_norm):
            raise ValueError("frozen_batch_norm has no statistics for sync_batch_norm or precise_batch_norm to compute")
        if self.gradient_checkpointing and self.sync_batch_norm:
            raise ValueError("gradient_checkpointing does not work with sync_batch_norm: leave one of them out")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_added(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys of later versions at their default: what was done without them stays done, with its bytes."""
        fields = type(self).model_fields
        return {
            key: value for key, value in dump(self).items() if not (key in self.ADDED and value == fields[key].default)
        }


class Train(Section):
    """Training recipes of the students."""

    supervised: Recipe | None = None
    """On the labeled set, from random weights or `init_from`: the baseline, and the default for the teacher. Required
    by all approaches but `distilled`."""
    weak_pretrain: Recipe | None = None
    """Weakly supervised pre-training on hashtags. Required by `weakly_supervised` and `semi_weakly_supervised`, unless
    the networks have `weakly_pretrained` weights."""
    weak_finetune: Recipe | None = None
    """Fine-tuning on the labeled set after pre-training on hashtags, with a new head. Default: `finetune`."""
    pretrain: Recipe | None = None
    """Training on the pseudo-labeled set. Required by `semi_supervised`, `semi_weakly_supervised` and `distilled`,
    which has no other training."""
    finetune: Recipe | None = None
    """Fine-tuning on the labeled set after `pretrain`. Required by `semi_supervised` and `semi_weakly_supervised`."""

    @property
    def after_hashtags(self) -> Recipe | None:
        """The fine-tuning recipe after pre-training on hashtags."""
        return self.weak_finetune or self.finetune
