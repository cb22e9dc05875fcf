"""`export`: a network as a file that runs without vidsemi."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidsemi.api.arguments import PathArgument, path_of, runtime_of
from vidsemi.api.model import Model
from vidsemi.api.model_arguments import trained_of
from vidsemi.inference.export import FORMATS, export_weights
from vidsemi.io.errors import UserError


@dataclass(frozen=True)
class Exported:
    """An exported network.

    Args:
        file: that was written.
        format: "pt2" or "onnx".
        bytes: size of the file.
        classes: number of outputs.
        input: shape of the clips that it takes, with "N" for any number of them.
        largest_difference: between its scores and the network's, on random clips.
        tolerance: the largest difference that is allowed.
    """

    file: Path
    format: str
    bytes: int
    classes: int
    input: tuple[str | int, ...]
    largest_difference: float
    tolerance: float


def export(
    model: Model | PathArgument, output: PathArgument, *, format: Literal["pt2", "onnx"] | None = None
) -> Exported:
    """Export a network with its normalization and softmax, and check that the file computes the same scores.

    Args:
        model: a network, or its weights file.
        output: file to write, .pt2 or .onnx.
        format: has to match the suffix of the output, which is the default.

    Returns:
        the file, and how far its scores differ.

    Raises:
        UserError: the suffix is another one, packages are missing, or torch cannot export the network.
    """
    target = path_of("output", output)
    suffix = target.suffix.lstrip(".")
    if suffix not in FORMATS:
        raise UserError("export.unknown_suffix", f"--output {target} must end with .pt2 or .onnx")
    if format not in (None, suffix):  # programs that load the file go by its name
        raise UserError(
            "export.format_mismatch", f"--output {target} does not match --format {format}; change one of them"
        )
    if isinstance(model, Model) and any(tensor.device.type != "cpu" for tensor in model.parameters()):
        model = copy.deepcopy(model).cpu()
    trained, _ = trained_of(model, "pyav", runtime_of("cpu", 0))
    result = export_weights(weights=trained, output=target, format=suffix)
    return Exported(**{**result, "file": target, "input": tuple(result["input"])})
