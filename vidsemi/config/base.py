"""What several configs share: the base class of sections, types and checks of values, runtime, and logging."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from vidsemi.io.numbers import scientific


def check_local(path: str) -> str:
    """Refuse an address where only a directory can be."""
    if "://" in path:
        raise ValueError(
            f"{path} is an address; name a directory of this machine or a shared disk, and copy it to the bucket after "
            "the run: vidsemi report reads it there"
        )
    return path


Directory = Annotated[str, Field(min_length=1), AfterValidator(check_local)]


def check_folder_name(name: str) -> str:
    """Refuse a name that cannot be a folder's on every system."""
    if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]{0,99}", name):
        raise ValueError(f"'{name}' is not a valid folder name: use up to 100 letters, digits and _ - + .")
    return name


def check_unique(key: str, values: Sequence[object]) -> None:
    """Refuse a list that has a value twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{key} lists the same value twice")


def check_names(kind: str, names: Sequence[str]) -> None:
    """Refuse two students or targets with the same name: their results would be ambiguous."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {kind} have the name '{name}'; set a different `name` for one")


RepeatFactor = Literal["natural", "square_root", "uniform"]
Fraction = Annotated[float, Field(ge=0, le=1)]
FolderName = Annotated[str, AfterValidator(check_folder_name)]


def _takes_numbers(annotation: Any) -> bool:
    return annotation in (int, float) or any(_takes_numbers(inner) for inner in get_args(annotation))


def _with_numbers(value: Any) -> Any:
    if isinstance(value, str):
        number = scientific(value)
        return value if number is None else number
    if isinstance(value, list | tuple):
        return type(value)(_with_numbers(item) for item in value)
    return {key: _with_numbers(item) for key, item in value.items()} if isinstance(value, dict) else value


STORED = object()  # context of a validation of values that no person wrote


class Section(BaseModel):
    """A section of the config: unknown keys are errors, values are frozen after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _refuse_null_characters(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("contains a NUL character, which no name of a file may have")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _read_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Read `1e6`, which YAML takes for a text, where the key takes numbers; not in files of programs (`STORED`)."""
        if info.context is STORED:
            return value
        field = cls.model_fields[info.field_name or ""]
        return _with_numbers(value) if _takes_numbers(field.annotation) else value


class Runtime(Section):
    """Device, data loader workers and checkpoints. Changes results by rounding only (docs/results.md)."""

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto uses a GPU if there is one."""
    workers: int | None = Field(None, ge=0, le=1024)
    """Data loader workers (decoding processes). Default: one per core. 0 decodes in the main process. In training each
    worker prefetches up to four micro-batches into shared memory."""
    seconds_per_file: float = Field(600, gt=0, le=1e7)
    """Decoding timeout per file, also in training with workers. Slower files count as unreadable."""
    clips_per_forward: PositiveInt | None = None
    """Inference batch size in clips (scoring and evaluation). Default: 10 on a CPU, 64 on other devices."""
    frame_cache: Path | None = None
    """Folder for decoded frames, so that each video is decoded once, not once per epoch and stage. For short clips of
    few pixels that are read many times: 16 frames of 32x32 pixels take 49 kB, ten seconds at 128x171 take 20 MB. Videos
    of more than 64 MiB are not kept, and a tenth of the disk, at most 5 GiB, stays free. May be deleted at any time.
    Default: nothing is kept."""
    checkpoint_seconds: PositiveFloat = 300
    """Seconds between training checkpoints, from which a killed run resumes."""
    checkpoint_steps: PositiveInt | None = None
    """Also write a checkpoint every so many steps."""
    channels_last: bool | None = None
    """Channels-last memory format in training and scoring. Default: on CPUs, where it is faster (docs/performance.md),
    and on GPUs in 16 bits (not measured)."""
    compile: bool = False
    """Use torch.compile in training and scoring. Compiling takes about a minute at every start."""
    deterministic: bool = False
    """Use deterministic kernels on GPUs, so that a resumed run gives the same bits there too. Slower."""
    engine: Literal["local", "ray"] = "local"
    """Where shards are scored, and features extracted: local in this process, ray by actors on a Ray cluster
    (docs/guides/ray.md)."""
    actors: PositiveInt | None = None
    """Workers that Ray keeps alive; those without room wait for more nodes. Default: as many as have room at the
    start."""
    cpus_per_actor: PositiveInt = 1
    """CPU cores that Ray reserves for each actor: its decoding processes unless `workers` is set, and its threads."""
    gpus_per_actor: float | None = Field(None, ge=0, le=1)
    """GPUs that Ray reserves for each actor, 1 at most; with 0.5 two share one. Default: 1 if a node has GPUs, unless
    the device is cpu."""


class Log(Section):
    """Training metrics in TensorBoard and Weights & Biases (docs/guides/reporting.md). Does not change results."""

    tensorboard: bool | None = None
    """Write TensorBoard event files. Default: yes, if tensorboard is installed."""
    wandb: str | None = Field(None, min_length=1)
    """Weights & Biases project to log to. Default: nothing is sent."""
