"""All networks by name, with what they were made for."""

from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.models.registry import MODELS, RESNETS, ZOOS, zoo_of


def list_models(pattern: str | None = None) -> list[dict[str, Any]]:
    """The networks whose names have a text in them, the paper's first; those of timm where it is installed.

    Args:
        pattern: the text; None for all. A whole name stands for itself alone.

    Returns:
        Of each its name, frames, stride, resize and crop (None is for the config to say), and the addresses of
        published weights.

    Raises:
        UserError: the pattern names a zoo that is not installed.
    """
    open_: dict[str, Any] = {"frames": None, "stride": None, "resize": None, "crop": None, "weights": []}
    entries: list[dict[str, Any]] = [
        {"name": name, **open_, "frames": 1 if name in RESNETS else None}
        for name in MODELS
        if pattern is None or pattern in name
    ]
    for prefix in ZOOS:
        zoo = zoo_of(f"{prefix}/")
        assert zoo is not None
        try:
            names = zoo.names()
        except UserError:  # an extra that is not installed
            if f"{pattern}/".startswith(f"{prefix}/"):
                raise
            continue
        for name in names:
            if pattern is None or pattern in f"{prefix}/{name}":
                wanted = zoo.wanted(name)
                takes = {"frames": wanted.frames, "stride": wanted.stride, "resize": wanted.resize, "crop": wanted.crop}
                entries.append({"name": f"{prefix}/{name}", **takes, "weights": zoo.weights(name)})
    return [entry for entry in entries if entry["name"] == pattern] or entries
