"""vidsemi's weights files: a trained network with all that is needed to build and feed it.

Training checkpoints (training/checkpoint.py) use the same container. It holds tensors, numbers and strings, and loads
with `weights_only=True`, so nothing in a file is executed.
"""

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.data.input_spec import Decoder, InputSpec
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, fingerprint_file
from vidsemi.models.archive import check_archive, check_regular_file, is_archive, is_content_error
from vidsemi.models.hf_folder import fingerprint_folder, is_hf_folder
from vidsemi.models.published import TENSORS, fingerprint_published, read_published, write_published
from vidsemi.models.registry import create_model, is_registered, meta_model, plugin_of
from vidsemi.models.stored_spec import MAX_NAME, parse_spec
from vidsemi.models.tensors import check_state_dict
from vidsemi.runtime.library_errors import first_line, is_refused_format, is_torchscript, unpicklable_global
from vidsemi.runtime.registry import failed_plugins

FORMAT = 1
CONVERT = "`vidsemi convert` makes one of published weights"


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
        return frozenset(self.class_dimensions)

    @cached_property
    def class_dimensions(self) -> dict[str, list[int]]:
        """For each of these tensors the dimensions that do."""
        more = meta_model(self.model, num_classes=len(self.classes) + 1, frames=self.input.frames, args=self.args)
        shapes = {key: tensor.shape for key, tensor in more.state_dict().items()}
        return {
            key: [
                place for place, (own, other) in enumerate(zip(tensor.shape, shapes[key], strict=True)) if own != other
            ]
            for key, tensor in self.meta_model.state_dict().items()
            if tensor.shape != shapes[key]
        }


def save(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain values atomically; equal content gives equal bytes."""
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)  # into a file: a path's name would be written too
    except RuntimeError as error:  # torch's error for a full disk
        raise UserError("weights.write_failed", f"cannot write {path} (disk full?): {first_line(error)}") from None


def load(path: Path) -> dict[str, Any]:
    """Load what `save` wrote, or a published network, to the CPU.

    Raises:
        UserError: another program wrote it, or it is damaged.
    """
    if path.is_dir():
        content: Any = read_published(path)
    else:
        check_regular_file(path, str(path))
        if not is_archive(path):
            raise UserError("weights.not_vidsemi", f"{path} is damaged, or not a vidsemi weights file; {CONVERT}")
        content = load_untrusted(path, str(path))
    if not (isinstance(content, dict) and _has_format(content)):
        raise UserError("weights.not_vidsemi", f"{path} is not a vidsemi weights file (format {FORMAT}); {CONVERT}")
    return content


def load_untrusted(path: Path, name: str) -> Any:
    """Load any file that `torch.save` wrote to the CPU, without executing anything in it; `name` is for messages.

    Raises:
        UserError: the file is missing, damaged, or holds anything but tensors and plain values.
    """
    check_regular_file(path, name)
    if is_archive(path):
        check_archive(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on a file are errors below, or do not matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:  # not the file's fault
        raise
    except pickle.UnpicklingError as error:
        needs = unpicklable_global(error)
        more = f" ({needs})" if needs else ""
        raise UserError(
            "weights.unsafe", f"{name} is not a weights file, or holds unsafe objects{more}{_way_out(path, needs)}"
        ) from None
    except Exception as error:  # arbitrary bytes make torch raise arbitrary errors
        if isinstance(error, OSError) and not is_content_error(error):
            raise
        why = first_line(error)
        if is_torchscript(error):
            why = "it is a TorchScript program; save its state_dict instead"
        elif is_refused_format(error):  # torch advises to load it unsafely
            why = "its format cannot be read without executing code from the file"
        raise UserError("weights.unreadable", f"{name} is not a weights file that can be loaded: {why}") from None


def _way_out(path: Path, needs: str | None) -> str:
    """What to do with the pickles of two frameworks."""
    if path.suffix == ".pkl":
        return (
            "; a .pkl of SlowFast's model zoo is a Caffe2 pickle: take pytorchvideo's .pyth of the same network, or "
            "load the pickle with SlowFast (TRAIN.CHECKPOINT_TYPE: caffe2) and save a checkpoint there"
        )
    if needs and needs.startswith("mmengine."):
        return "; mmaction2's tools/deployment/publish_model.py writes a file without them"
    return ""


def _has_format(content: Mapping[Any, Any]) -> bool:
    return type(content.get("format")) is int and content["format"] == FORMAT


def is_weights(content: Mapping[str, Any]) -> bool:
    """Whether a file's content was written by `save_weights`."""
    return _has_format(content) and {"spec", "state_dict"} <= content.keys()


def spec_of(content: Mapping[str, Any], name: str, decoder: Decoder = "pyav") -> NetworkSpec:
    """Read the spec in the content of a weights file; a UserError if it is missing, invalid or of a missing plug-in."""
    stored = parse_spec(content.get("spec"), name)
    plugin = content.get("plugin")
    if isinstance(plugin, str) and not is_registered(stored.model):
        raise UserError(
            "weights.missing_plugin",
            f"{name} holds the network '{stored.model}' of the plug-in {plugin[:MAX_NAME]}, which is not installed "
            f"here or cannot be loaded{failed_plugins()}",
        )
    return NetworkSpec(stored.model, stored.args, stored.classes, replace(stored.input.spec(), decoder=decoder))


def save_weights(path: Path, network: nn.Module, spec: NetworkSpec, provenance: dict[str, Any]) -> None:
    """Save a trained network, how it was built, and where its weights come from, as plain JSON values.

    The file also names the plug-in that the network comes from, if it comes from one.
    """
    save(path, content_of(network, spec, provenance))


def content_of(network: nn.Module, spec: NetworkSpec, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a weights file, but for its format."""
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    stored = asdict(spec)
    del stored["input"]["decoder"]  # not the network's, but of whoever reads with it
    plugin = plugin_of(spec.model)
    named = {} if plugin is None else {"plugin": plugin}
    return {"spec": stored, "state_dict": state, "provenance": provenance, **named}


def publish(folder: Path, network: nn.Module, spec: NetworkSpec, provenance: Mapping[str, Any]) -> None:
    """Write a network as a folder that `load` reads too; as `save_weights` otherwise."""
    content = content_of(network, spec, {name: own for name, own in provenance.items() if _is_json(own)})
    write_published(folder, {"library_name": "vidsemi", "format": FORMAT, **content})


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):  # provenance in a file of somebody else
        return False
    return True


def fingerprint(path: Path) -> str:
    """SHA-256 of a weights file, a published network, or a folder in Hugging Face's layout."""
    if path.is_dir():
        return fingerprint_folder(path) if is_hf_folder(path) else fingerprint_published(path)
    return fingerprint_file(path)


def load_weights(path: Path, decoder: Decoder = "pyav") -> tuple[nn.Module, NetworkSpec]:
    """Load a trained network from a file or folder to the CPU, with its spec, which gets the `decoder` for videos.

    Raises:
        UserError: the file is missing or damaged, its spec is invalid, or its tensors are not those of its spec.
    """
    return load_with_provenance(path, decoder)[:2]


def load_with_provenance(path: Path, decoder: Decoder = "pyav") -> tuple[nn.Module, NetworkSpec, dict[str, Any]]:
    """As `load_weights`, and where the weights come from, as `save_weights` got it."""
    content = load(path)
    spec = spec_of(content, str(path), decoder)
    tensors: Any = content.get("state_dict")
    check_state_dict(
        tensors, spec.meta_model.state_dict(), path / TENSORS if path.is_dir() else path
    )  # before memory is taken for the network
    network = spec.build()
    try:
        network.load_state_dict(tensors)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        why = first_line(error)
        raise UserError("weights.invalid_tensors", f"{path} does not hold the weights of its spec: {why}") from None
    provenance = content.get("provenance")
    return network, spec, provenance if isinstance(provenance, dict) else {}


def load_spec(path: Path) -> NetworkSpec:
    """Load only the spec of a trained network."""
    return spec_of(load(path), str(path))
