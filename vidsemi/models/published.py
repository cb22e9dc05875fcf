"""A network as a folder in the form of the Hugging Face Hub: config.json and model.safetensors.

`config.json` is the content of a weights file but for its tensors. Nothing in such a folder is executed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file, fingerprint_json, read_regular, write_json
from vidsemi.models.archive import MAX_PICKLE, check_regular_file

CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"
HEADER_BYTES = 8  # of the length of a safetensors header, which comes first


def read_published(folder: Path) -> dict[str, Any]:
    """Read what `write_published` wrote to the CPU: the content of a weights file, not validated.

    Raises:
        UserError: a file is missing, damaged or too large.
    """
    config = folder / CONFIG
    if not config.exists():
        raise UserError(
            "weights.not_a_file",
            f"{folder} is a folder without {CONFIG} and {TENSORS}, which `vidsemi publish` writes; give a weights file",
        )
    check_regular_file(config, str(config))
    if config.stat().st_size > MAX_PICKLE:
        raise UserError("weights.oversized", f"{config} has more than {MAX_PICKLE:,} bytes")
    try:
        content = json.loads(read_regular(config, MAX_PICKLE))
    except (ValueError, RecursionError) as error:  # also of bytes that are not UTF-8
        raise UserError("weights.invalid_config", f"{config} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise UserError("weights.invalid_config", f"{config} is damaged: it is not a JSON object")
    return {**content, "state_dict": read_safetensors(folder / TENSORS, str(folder / TENSORS))}


def write_published(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the content of a weights file; equal content gives equal bytes.

    Raises:
        UserError: the package safetensors is missing.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise _not_installed(str(folder / TENSORS)) from None
    tensors = {key: own.detach().cpu().contiguous().clone() for key, own in content["state_dict"].items()}
    with atomic_path(folder / TENSORS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(folder / CONFIG, {key: own for key, own in content.items() if key != "state_dict"})


def fingerprint_published(folder: Path) -> str:
    """SHA-256 of both files."""
    return fingerprint_json([fingerprint_file(folder / name) for name in (CONFIG, TENSORS)])


def read_safetensors(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file to the CPU; `name` is for messages.

    Raises:
        UserError: it is missing or damaged, its header is too large, or the package safetensors is missing.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise _not_installed(name) from None
    check_regular_file(path, name)
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(HEADER_BYTES), "little")
    try:
        if header > MAX_PICKLE:
            raise ValueError(f"its header has {header:,} bytes, more than {MAX_PICKLE:,}")
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("weights.unreadable", f"{name} cannot be read as safetensors: {error}") from None


def _not_installed(name: str) -> UserError:
    return UserError("weights.safetensors_not_installed", f"to read or write {name}, pip install 'vidsemi[timm]'")
