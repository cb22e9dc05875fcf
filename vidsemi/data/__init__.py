"""Manifests, decoding, transforms and samplers; also `TrainDataset` and `read_clips` of the Python API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidsemi.api.clips import read_clips as read_clips
    from vidsemi.api.train_dataset import TrainDataset as TrainDataset

_HOMES = {"TrainDataset": "vidsemi.api.train_dataset", "read_clips": "vidsemi.api.clips"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidsemi.data' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
