"""Reads weights files: vidsemi's own and those of other programs. Nothing in a file is ever executed.

Other programs' are plain state dicts (torchvision, timm, the published IG-65M and SSL/SWSL files), state dicts inside a
training checkpoint, those of SlowFast and mmaction2 under other names (`models/layouts`), and safetensors.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidsemi.data.input_spec import InputSpec
from vidsemi.io.download import AddressError, fetch, is_address
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_file
from vidsemi.models.hf_folder import folder_classes, is_hf_folder, read_tensors
from vidsemi.models.hf_input import network_of
from vidsemi.models.layouts.find import find_layout
from vidsemi.models.layouts.layout import Layout
from vidsemi.models.pretrained_cfg import PretrainedConfig
from vidsemi.models.published import read_safetensors
from vidsemi.models.weights_file import NetworkSpec, fingerprint, is_weights, load, load_untrusted, spec_of
from vidsemi.models.zoo.transformers import convert

# torch.hub's convention: the name of a file ends with the first digits of its SHA-256.
CHECKSUM = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+$")

# Where training checkpoints keep the state dict; averaged weights first, since they are the better ones.
STATE_DICT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model_state", "model_state_dict", "model")

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class Weights:
    """The tensors of a file."""

    file: str  # for messages
    tensors: dict[str, torch.Tensor]
    spec: NetworkSpec | None = None  # only vidsemi's files have it
    classes: list[str] | None = None  # in the order of the outputs; None if the file has no names for them
    trained_on_hashtags: bool = False  # by vidsemi: these, or the weights that they started from
    layout: Layout | None = None  # of SlowFast or mmaction2, with their names for tensors

    def trained_on(self, model: str) -> InputSpec | PretrainedConfig | None:
        """The input of the weights as far as the file has it, if they are used as those of a network of this name."""
        if self.spec is not None:
            return self.spec.input
        return self.layout.trained_on if self.layout and model in self.layout.targets else None


def read_weights(source: str) -> Weights:
    """Read a weights file, one at an address that iopath fetches, or the folder of a network, to the CPU.

    A folder is one of `vidsemi publish`, or in Hugging Face's layout.

    Raises:
        UserError: it is missing or damaged, does not match the checksum in its name, or is not a weights file.
    """
    path = local_copy(source)
    if path.is_dir():
        return _of_hf_folder(path, source) if is_hf_folder(path) else _of_vidsemi(load(path), source)
    _verify_checksum(source, path)
    if path.suffix == ".safetensors":
        content: Any = read_safetensors(path, source)
    else:
        content = load_untrusted(path, source)
    if isinstance(content, dict) and is_weights(content):
        return _of_vidsemi(content, source)
    tensors = _find_state_dict(content, source)
    return Weights(source, tensors, layout=find_layout(tensors, content))


def _of_vidsemi(content: Mapping[str, Any], source: str) -> Weights:
    provenance = content.get("provenance")
    hashtags = isinstance(provenance, dict) and provenance.get("hashtags") is True
    spec = spec_of(content, source)
    return Weights(source, content["state_dict"], spec, spec.classes, hashtags)


def _of_hf_folder(folder: Path, source: str) -> Weights:
    classes, (name, args) = folder_classes(folder), network_of(folder, {})
    tensors = convert(name, len(classes), args, read_tensors(folder), source)
    return Weights(source, tensors, classes=classes)


def fingerprint_weights(source: str) -> str:
    """SHA-256 of a weights file, of the file at an address, or of a published network."""
    return fingerprint(local_copy(source))


def local_copy(source: str) -> Path:
    """Return the file itself, the folder of a published network, or the cached copy of an address."""
    if is_address(source):
        try:
            return Path(fetch(source))
        except AddressError as error:
            raise UserError("weights.not_fetched", f"{source} cannot be fetched: {error}") from None
    if Path(source).is_dir():
        return Path(source)
    if not Path(source).is_file():
        raise UserError("weights.missing", f"weights file {source} does not exist")
    if Path(source).stat().st_size == 0:
        raise UserError("weights.empty", f"{source} is empty")
    return Path(source)


def _verify_checksum(source: str, path: Path) -> None:
    checksum = CHECKSUM.search(source.rpartition("/")[2].partition("?")[0])
    if checksum is None or (digest := fingerprint_file(path)).startswith(checksum[1]):
        return
    if checksum[1].isdecimal() and not is_address(source):  # of a local file, more likely a date or a step
        logger.warning("%s: if %s in its name is a checksum, the file is damaged", source, checksum[1])
        return
    copy = f"; delete the copy {path} to fetch it again" if is_address(source) else ""
    raise UserError(
        "weights.checksum_mismatch",
        f"{source} is damaged or another file: its SHA-256 starts with {digest[: len(checksum[1])]}, "
        f"its name says {checksum[1]}{copy}",
    )


def _find_state_dict(content: Any, source: str) -> dict[str, torch.Tensor]:
    inner = content
    if isinstance(content, Mapping):
        inner = next((content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), Mapping)), content)
    entries = inner.items() if isinstance(inner, Mapping) else ()
    tensors = {str(key): value for key, value in entries if isinstance(value, torch.Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else ""
        what = f"its keys are {keys}" if keys else f"it is a {type(content).__name__}"
        raise UserError("weights.no_state_dict", f"{source} contains no state dict; {what}")
    return tensors
