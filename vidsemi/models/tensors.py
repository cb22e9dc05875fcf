"""Checks of tensors from a file before they are loaded into a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidsemi.io.errors import UserError

# Floating-point types that are converted to each other where a network of another program is loaded.
CONVERTIBLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensor(tensor: torch.Tensor, key: str, file: object) -> None:
    """Check that a tensor is plain, and that all of its values are finite.

    Raises:
        UserError: it is sparse, quantized, without data, or not finite.
    """
    _check_plain(tensor, key, file)
    _check_finite(tensor, key, file)


def check_state_dict(tensors: Any, wanted: Mapping[str, torch.Tensor], file: Path) -> None:
    """Check that a state dict holds just the tensors of a network (those of its meta-device model are enough).

    A tensor that repeats fewer values than it has would take more memory in the network than in the file.

    Raises:
        UserError: names, shapes or types differ, or a tensor is not stored as a whole.
    """
    wrong = f"{file} does not hold the weights of its spec"
    if not (isinstance(tensors, Mapping) and all(isinstance(own, torch.Tensor) for own in tensors.values())):
        raise UserError("weights.invalid_tensors", f"{wrong}: it has no tensors by name")
    if different := sorted(map(str, tensors.keys() ^ wanted.keys())):
        which = "lacks" if different[0] in wanted else "has"
        raise UserError("weights.invalid_tensors", f"{wrong}: it {which} the tensor {different[0]}")
    for key, expected in wanted.items():
        own = tensors[key]
        if own.shape != expected.shape or own.dtype != expected.dtype:
            shapes = f"{own.dtype} {tuple(own.shape)}, expected {expected.dtype} {tuple(expected.shape)}"
            raise UserError("weights.invalid_tensors", f"{wrong}: tensor {key} is {shapes}")
        _check_plain(own, key, file)
        if own.untyped_storage().nbytes() < own.numel() * own.element_size():
            raise UserError("weights.invalid_tensors", f"{wrong}: tensor {key} has more elements than the file stores")
    if sum(own.numel() * own.element_size() for own in tensors.values()) > 2 * file.stat().st_size:
        raise UserError("weights.invalid_tensors", f"{wrong}: its tensors share their values")


def _check_plain(tensor: torch.Tensor, key: str, file: object) -> None:
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    if not plain or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise UserError("weights.invalid_tensor", f"{file}: tensor {key} is sparse, quantized or without data")
    if tensor.is_floating_point() and tensor.dtype not in CONVERTIBLE:
        raise UserError("weights.invalid_tensor", f"{file}: tensor {key} has type {tensor.dtype}")


def _check_finite(tensor: torch.Tensor, key: str, file: object) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise UserError("weights.not_finite", f"{file}: tensor {key} has values that are not finite")
