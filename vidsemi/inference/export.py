"""Export: weights → a file that runs without vidsemi, kept only if it computes what the network computes."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi import __version__
from vidsemi.data.normalize import normalize
from vidsemi.inference.export_formats import FORMATS, MANY, Run, check_onnx, trace
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, prepare_target
from vidsemi.models import weights_file
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.library_errors import first_line

BATCHES = (1, 3)  # clips of the passes that are compared; the graph was made with two
LEAST = 1e-30  # scores below are alike


def export_weights(*, weights: Path, output: Path, format: str) -> dict[str, Any]:
    """Export a network, run the file that was written, and compare its scores with the network's.

    Args:
        weights: of the network.
        output: the file to write.
        format: a key of `FORMATS`.

    Returns:
        A JSON object: bytes, classes, shape of the input, the largest difference seen and the one allowed.

    Raises:
        UserError: packages are missing, torch cannot export the network, or what it made of it scores differently.
    """
    network, spec = weights_file.load_weights(weights)
    if format == "onnx":
        check_onnx(network)
    prepare_target(output)
    form = FORMATS[format]
    with atomic_path(output) as temporary:
        with _silence():
            program = trace(network, spec.input)
            try:
                form.save(program, temporary, json.dumps(metadata(spec), ensure_ascii=False))
                difference = largest_difference(form.load(temporary), network, spec)
            except OSError:
                raise
            except Exception as error:  # exporter and runtime have errors of their own
                raise UserError(f"no working .{format} file comes out; torch says: {first_line(error)}") from None
        if not difference <= form.tolerance:  # NaN, too
            raise UserError(
                f"the exported network's scores are up to {difference:.2g} from the network's own, more than "
                f"{form.tolerance:g}; {output} is not written"
            )
    return {
        "file": str(output),
        "format": format,
        "bytes": output.stat().st_size,
        "classes": len(spec.classes),
        "input": [MANY, *_shape(spec)],
        "largest_difference": difference,
        "tolerance": form.tolerance,
    }


def metadata(spec: NetworkSpec) -> dict[str, Any]:
    """What the file says of itself: all that it takes to make its input and to name its output."""
    return {
        "vidsemi": __version__,
        "model": spec.model,
        "classes": spec.classes,
        "frames": spec.input.frames,
        "stride": spec.input.stride,
        "resize": spec.input.resize,
        "crop": spec.input.crop,
        "mean": spec.input.mean,
        "std": spec.input.std,
    }


@torch.inference_mode()
def largest_difference(exported: Run, network: nn.Module, spec: NetworkSpec) -> float:
    """The largest difference between an exported network's scores of random clips and those of the network itself.

    The network is used as it was trained, its batch norm not folded, so that the two share nothing but the weights. A
    network that is sure of itself has scores of 0 and 1 whatever it is shown; so a hundredth of the difference of the
    scores' logarithms counts as well.
    """
    network.eval()
    random = torch.Generator().manual_seed(0)
    differences = []
    for many in BATCHES:
        clips = torch.randint(0, 256, (many, *_shape(spec)), dtype=torch.uint8, generator=random)
        expected = network(normalize(clips, spec.input)).softmax(dim=1)
        found = exported(clips)
        if found.shape != expected.shape:
            raise ValueError(f"scores of {many} clips have the shape {tuple(found.shape)}")
        logarithms = (found.clamp_min(LEAST).log() - expected.clamp_min(LEAST).log()) / 100
        differences += [(found - expected).abs().max(), logarithms.abs().max()]
    return float(torch.stack(differences).max())  # of NaN and a number, NaN


def _shape(spec: NetworkSpec) -> tuple[int, int, int, int]:
    return spec.input.frames, 3, spec.input.crop, spec.input.crop


@contextmanager
def _silence() -> Iterator[None]:
    """Exporters print, warn and log on their way; what matters of it comes as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
