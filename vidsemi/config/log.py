"""Logging of training metrics to TensorBoard and Weights & Biases."""

from pydantic import Field

from vidsemi.config.base import Section


class Log(Section):
    """Training metrics in TensorBoard and Weights & Biases (docs/reporting.md). Does not change results."""

    tensorboard: bool | None = None
    """Write TensorBoard event files. Default: yes, if tensorboard is installed."""
    wandb: str | None = Field(None, min_length=1)
    """Weights & Biases project to log to. Default: nothing is sent."""
