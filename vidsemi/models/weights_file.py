"""vidsemi's weights files: a trained network with all that is needed to build and feed it.

Training checkpoints (training/checkpoint.py) use the same container. It holds tensors, numbers and strings, and loads
with `weights_only=True`, so nothing in a file is executed.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.data.input_spec import InputSpec
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.models.registry import create_model, meta_model
from vidsemi.runtime.library_errors import first_line, is_refused_format, is_torchscript, unpicklable_global

FORMAT = 1


@dataclass(frozen=True)
class NetworkSpec:
    """How to build a network and what to feed it."""

    model: str  # its name in the registry
    args: Mapping[str, Any]  # the network's own
    classes: list[str]  # in the order of its outputs
    input: InputSpec

    def __str__(self) -> str:
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.args.items())])

    def build(self) -> nn.Module:
        """Build the network with fresh weights."""
        return create_model(self.model, num_classes=len(self.classes), frames=self.input.frames, args=self.args)

    @cached_property
    def meta_model(self) -> nn.Module:
        """The network on the meta device, built once and shared: leave its layers as they are."""
        return meta_model(self.model, num_classes=len(self.classes), frames=self.input.frames, args=self.args)

    @cached_property
    def head_keys(self) -> frozenset[str]:
        """Names of the tensors whose shapes depend on the number of classes."""
        more = meta_model(self.model, num_classes=len(self.classes) + 1, frames=self.input.frames, args=self.args)
        shapes = {key: tensor.shape for key, tensor in more.state_dict().items()}
        return frozenset(key for key, tensor in self.meta_model.state_dict().items() if tensor.shape != shapes[key])


def save(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain values atomically; equal content gives equal bytes."""
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)  # into a file: a path's name would be written too
    except RuntimeError as error:  # torch's error for a full disk
        raise UserError("weights.write_failed", f"cannot write {path} (disk full?): {first_line(error)}") from None


def load(path: Path) -> dict[str, Any]:
    """Load what `save` wrote to the CPU; a UserError if another program wrote the file, or it is damaged."""
    content = load_untrusted(path, str(path))
    if zipfile.is_zipfile(path) and (damaged := _damaged_member(path)):
        raise UserError("weights.damaged", f"{path} is damaged: the checksum of {damaged} does not match")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(
            "weights.not_vidsemi",
            f"{path} is not a vidsemi weights file (format {FORMAT}); `vidsemi convert` makes one of published weights",
        )
    return content


def load_untrusted(path: Path, name: str) -> Any:
    """Load any file that `torch.save` wrote to the CPU, without executing anything in it; `name` is for messages.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on a file are errors below, or do not matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError("weights.missing", f"there is no weights file {name}") from None
    except (MemoryError, OSError):  # not the file's fault
        raise
    except pickle.UnpicklingError as error:
        needs = unpicklable_global(error)
        more = f" ({needs})" if needs else ""
        raise UserError("weights.unsafe", f"{name} is not a weights file, or holds unsafe objects{more}") from None
    except Exception as error:  # arbitrary bytes make torch raise arbitrary errors
        why = first_line(error)
        if is_torchscript(error):
            why = "it is a TorchScript program; save its state_dict instead"
        elif is_refused_format(error):  # torch advises to load it unsafely
            why = "its format cannot be read without executing code from the file"
        raise UserError("weights.unreadable", f"{name} is not a weights file that can be loaded: {why}") from None


def _damaged_member(path: Path) -> str | None:
    """The first member of a zip file whose checksum does not match; torch does not verify them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (MemoryError, OSError):
        raise
    except Exception:  # damage makes zipfile raise arbitrary errors
        return "its parts"


def is_weights(content: Mapping[str, Any]) -> bool:
    """Whether a file's content was written by `save_weights`."""
    return content.get("format") == FORMAT and {"spec", "state_dict"} <= content.keys()


def spec_of(content: Mapping[str, Any], name: str) -> NetworkSpec:
    """Read the spec in the content of a weights file; a UserError if it is missing or invalid."""
    try:
        spec = NetworkSpec(**{**content["spec"], "input": InputSpec(**content["spec"]["input"])})
        if not (isinstance(spec.model, str) and isinstance(spec.args, dict) and spec.classes):
            raise TypeError("model, args or classes have the wrong type")
        if not all(isinstance(entry, str) for entry in spec.classes):
            raise TypeError("a class name is not a string")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError("weights.invalid_spec", f"{name} has no valid network spec: {first_line(error)}") from None
    return spec


def save_weights(path: Path, network: nn.Module, spec: NetworkSpec, provenance: dict[str, Any]) -> None:
    """Save a trained network, how it was built, and where its weights come from, as plain JSON values."""
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    save(path, {"spec": asdict(spec), "state_dict": state, "provenance": provenance})


def load_weights(path: Path) -> tuple[nn.Module, NetworkSpec]:
    """Load a trained network to the CPU, with its spec."""
    content = load(path)
    spec = spec_of(content, str(path))
    network = spec.build()
    try:
        network.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        why = first_line(error)
        raise UserError("weights.invalid_tensors", f"{path} does not hold the weights of its spec: {why}") from None
    return network, spec


def load_spec(path: Path) -> NetworkSpec:
    """Load only the spec of a trained network."""
    return spec_of(load(path), str(path))
