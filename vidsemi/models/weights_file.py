"""Weights with all that is needed to use them, and the state that a killed training goes on from.

Both are plain tensors, numbers and strings, and load with `weights_only=True`: nothing in them is executed.
"""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.data.input_spec import InputSpec
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.models.registry import create_model
from vidsemi.runtime.library_errors import first_line, is_refused_format, is_torchscript, unpicklable_global

FORMAT = 1


@dataclass(frozen=True)
class NetworkSpec:
    """What it takes to build a network and to feed it.

    Attributes:
        model: its name.
        args: arguments of its own.
        classes: class names in the order of its outputs.
        input: what it takes in.
    """

    model: str
    args: Mapping[str, Any]
    classes: list[str]
    input: InputSpec

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return create_model(self.model, num_classes=len(self.classes), frames=self.input.frames, args=self.args)


def save(path: Path, content: dict[str, Any]) -> None:
    """Save a checkpoint atomically; equal content gives equal bytes."""
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)  # into a file: a path's name would be written too
    except RuntimeError as error:  # what torch makes of a full disk
        raise UserError(f"{path} cannot be written (is the disk full?): {first_line(error)}") from None


def read(path: Path, name: str) -> Any:
    """What a file that torch saved holds, on the CPU.

    Args:
        path: of the file.
        name: for messages.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch remarks on a file is said below, or does not matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there are no weights at {name}") from None
    except (MemoryError, OSError):  # a disk that is away says nothing of the file
        raise
    except pickle.UnpicklingError as error:
        needs = unpicklable_global(error)
        more = f" (it needs {needs})" if needs else ""
        raise UserError(
            f"{name} is no checkpoint, or holds more than tensors and plain values{more}, and is not loaded: "
            "that would execute what is in it"
        ) from None
    except Exception as error:  # whatever the bytes of a file that is none make torch do
        why = first_line(error)
        if is_torchscript(error):
            why = "it is a program, as TorchScript saves it, and is not loaded"
        elif is_refused_format(error):  # torch's advice is to load it unsafely
            why = "it is in a format that cannot be read without executing what is in it"
        raise UserError(f"{name} cannot be loaded as weights: {why}") from None


def load(path: Path) -> dict[str, Any]:
    """Load a checkpoint of ours to the CPU.

    Raises:
        UserError: as `read` does, or the file is another program's, or not as it was written.
    """
    content = read(path, str(path))
    if zipfile.is_zipfile(path) and (damaged := _damaged_member(path)):
        raise UserError(f"{path} is damaged: its checksum of {damaged} does not hold")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a checkpoint of vidsemi (format {FORMAT}); `vidsemi convert` makes one of published weights"
        )
    return content


def _damaged_member(path: Path) -> str | None:
    """The first part of a file whose checksum does not hold. torch does not look at them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (MemoryError, OSError):
        raise
    except Exception:  # whatever damage makes zipfile do
        return "its parts"


def is_weights(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is what `save_weights` writes."""
    return content.get("format") == FORMAT and {"spec", "state_dict"} <= content.keys()


def spec_of(content: Mapping[str, Any], name: str) -> NetworkSpec:
    """How the network of a file by `save_weights` is built.

    Raises:
        UserError: the file does not say.
    """
    try:
        spec = NetworkSpec(**{**content["spec"], "input": InputSpec(**content["spec"]["input"])})
        if not (isinstance(spec.model, str) and isinstance(spec.args, dict) and spec.classes):
            raise TypeError("model, args or classes are of the wrong kind")
        if not all(isinstance(entry, str) for entry in spec.classes):
            raise TypeError("a class has no name")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{name} does not say what its weights are of: {first_line(error)}") from None
    return spec


def save_weights(path: Path, network: nn.Module, spec: NetworkSpec, provenance: dict[str, Any]) -> None:
    """Save a trained network.

    Args:
        path: of the file.
        network: the network.
        spec: how to build it.
        provenance: where the weights come from; plain JSON values.
    """
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    save(path, {"spec": asdict(spec), "state_dict": state, "provenance": provenance})


def load_weights(path: Path) -> tuple[nn.Module, NetworkSpec]:
    """A trained network, on the CPU, and how it was built."""
    content = load(path)
    spec = spec_of(content, str(path))
    network = spec.build()
    try:
        network.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path} does not hold the weights it names: {first_line(error)}") from None
    return network, spec
