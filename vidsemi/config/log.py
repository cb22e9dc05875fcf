"""Where trainings tell how they go, apart from the log that each of them writes in any case."""

from pydantic import Field

from vidsemi.config.base import Section


class Log(Section):
    """What shows how trainings go (docs/reporting.md). Nothing here changes the results."""

    tensorboard: bool | None = None
    """Event files for TensorBoard in each training's folder; default: where tensorboard is installed."""
    wandb: str | None = Field(None, min_length=1)
    """Weights & Biases project that trainings are logged to; nothing is sent without it."""
