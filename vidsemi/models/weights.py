"""A file of weights, of ours or of others → its tensors and what it says of them. Nothing in a file is ever executed.

Read are our checkpoints, plain state dicts (torchvision, timm, the published IG-65M and SSL/SWSL files), state dicts
inside a checkpoint of a training, and safetensors.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidsemi.io.download import AddressError, fetch, is_address
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.models.weights_file import NetworkSpec

# The hub's custom: the first digits of a file's SHA-256 end its name.
CHECKSUM = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+$")

logger = logging.getLogger("vidsemi")

# Where trainings keep the state dict; averaged weights first, since they are the better ones.
PLACES = ("state_dict_ema", "model_ema", "state_dict", "model_state", "model_state_dict", "model")


@dataclass(frozen=True)
class Weights:
    """Tensors of a file.

    Attributes:
        file: its name, for messages.
        tensors: by name.
        spec: the network they are of, where the file says so; only ours do.
        trained_on_hashtags: whether vidsemi pre-trained them on hashtags.
    """

    file: str
    tensors: dict[str, torch.Tensor]
    spec: NetworkSpec | None = None
    trained_on_hashtags: bool = False


def read_weights(source: str) -> Weights:
    """Read a file of weights to the CPU.

    Args:
        source: a file, or an address that iopath fetches.

    Raises:
        UserError: it is not there, is damaged, does not have the checksum that its name has, or is no such file.
    """
    path = local_copy(source)
    _verify_checksum(source, path)
    if path.suffix == ".safetensors":
        return Weights(source, _read_safetensors(source, path))
    content = weights_file.read(path, name=source)
    if isinstance(content, dict) and weights_file.is_weights(content):
        provenance = content.get("provenance")
        hashtags = isinstance(provenance, dict) and provenance.get("hashtags") is True
        return Weights(source, content["state_dict"], weights_file.spec_of(content, source), hashtags)
    return Weights(source, _state_dict(content, source))


def local_copy(source: str) -> Path:
    """The file itself, or what is at an address.

    Raises:
        UserError: it is not there.
    """
    if is_address(source):
        try:
            return Path(fetch(source))
        except AddressError as error:
            raise UserError(f"{source} cannot be fetched: {error}") from None
    if not Path(source).is_file():
        raise UserError(f"there are no weights at {source}")
    if Path(source).stat().st_size == 0:
        raise UserError(f"{source} is empty")
    return Path(source)


def _verify_checksum(source: str, path: Path) -> None:
    found = CHECKSUM.search(source.rpartition("/")[2].partition("?")[0])
    if found is None:
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(found[1]):
        if found[1].isdecimal() and not is_address(source):  # of one's own files, rather a date or a step
            logger.warning("%s: if %s in its name is a checksum, it is damaged or another file", source, found[1])
            return
        copy = f" (its copy is {path}; delete that to fetch it again)" if is_address(source) else ""
        raise UserError(
            f"{source} is damaged or another file: its SHA-256 begins with {digest[: len(found[1])]}, "
            f"its name says {found[1]}{copy}"
        )


def _read_safetensors(source: str, path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(f"{source}: safetensors are read with pip install 'vidsemi[timm]'") from None
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{source} cannot be read as safetensors: {error}") from None


def _state_dict(content: Any, source: str) -> dict[str, torch.Tensor]:
    """The state dict that a file is or holds."""
    place = next(
        (name for name in PLACES if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)), None
    )
    inner = content[place] if place else content
    tensors = {}
    if isinstance(inner, Mapping):
        tensors = {str(key): value for key, value in inner.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        what = f"its keys are {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else "no dict"
        raise UserError(f"{source} holds no state dict ({what})")
    return tensors
