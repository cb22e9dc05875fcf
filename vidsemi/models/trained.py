"""A trained network, in memory already or in a weights file."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vidsemi.data.input_spec import Decoder
from vidsemi.models.weights_file import NetworkSpec, fingerprint, load_weights


@dataclass(frozen=True)
class Trained:
    """A trained network in memory."""

    network: nn.Module
    spec: NetworkSpec
    name: str  # for messages: its file
    fingerprint: Callable[[], str]  # of the file; of the tensors if there is none

    def with_decoder(self, decoder: Decoder) -> "Trained":
        """Return the same network, for videos that are read with this decoder."""
        return replace(self, spec=replace(self.spec, input=replace(self.spec.input, decoder=decoder)))


def open_trained(weights: Path | Trained, decoder: Decoder = "pyav") -> Trained:
    """Load a weights file to the CPU, unless the network is in memory already; see `load_weights`."""
    if isinstance(weights, Trained):
        return weights.with_decoder(decoder)
    return Trained(*load_weights(weights, decoder), str(weights), partial(fingerprint, weights))


def fingerprint_tensors(network: nn.Module, spec: NetworkSpec) -> str:
    """SHA-256 of a spec and of all tensors of a network, for one that no file holds."""
    about = asdict(spec)
    del about["input"]["decoder"]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=dict).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
