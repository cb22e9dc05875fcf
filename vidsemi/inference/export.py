"""Export: weights → a file that runs without vidsemi (.pt2 or ONNX), kept only if it computes the network's scores."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from vidsemi import __version__
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.inference.model import fused
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, prepare_target
from vidsemi.models.modes import evaluating
from vidsemi.models.trained import Trained, open_trained
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.library_errors import first_line

KEY = "vidsemi"  # of the JSON document inside the file
INPUT, OUTPUT, BATCH = "clips", "scores", "N"  # names inside an ONNX file
ONNX_LIMIT = 2**31  # bytes of a protocol buffer, which an ONNX file is
TEST_BATCHES = (1, 3)  # clips per compared pass; the graph is traced with two
MIN_SCORE = 1e-30  # lower scores count as equal

Run = Callable[[torch.Tensor], torch.Tensor]  # uint8 clips → scores


class Scorer(nn.Module):
    """Normalization, network and softmax in one module; the network itself is not modified."""

    def __init__(self, network: nn.Module, spec: InputSpec):
        super().__init__()
        self.network, self.spec = fused(network), spec

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, T, 3, crop, crop) uint8 → (N, classes) float32, each row a softmax."""
        logits: torch.Tensor = self.network(normalize(clips, self.spec))
        return logits.float().softmax(dim=1)


@dataclass(frozen=True)
class Format:
    """A file format."""

    save: Callable[[ExportedProgram, Path, str], None]  # writes a graph and the JSON document that goes with it
    load: Callable[[Path], Run]  # makes the content of a file run on the CPU
    tolerance: float  # largest difference between its scores and the network's


def export_weights(*, weights: Path | Trained, output: Path, format: str) -> dict[str, Any]:
    """Export a network to one of `FORMATS`, run the file, and compare its scores with the network's.

    Raises:
        UserError: packages are missing, torch cannot export the network, or the exported one scores differently.
    """
    trained = open_trained(weights)
    network, spec = trained.network, trained.spec
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
            except Exception as error:  # exporters and runtimes raise errors of their own
                raise UserError("export.failed", f"torch cannot export to .{format}: {first_line(error)}") from None
        if not difference <= form.tolerance:  # NaN, too
            raise UserError(
                "export.inaccurate",
                f"the exported network's scores differ by up to {difference:.2g} from the network's, "
                f"more than {form.tolerance:g}; {output} is not written",
            )
    return {
        "file": str(output),
        "format": format,
        "bytes": output.stat().st_size,
        "classes": len(spec.classes),
        "input": [BATCH, *_clip_shape(spec.input)],
        "largest_difference": difference,
        "tolerance": form.tolerance,
    }


def metadata(spec: NetworkSpec) -> dict[str, Any]:
    """Return the document inside the file: all it takes to make its input and to name its outputs."""
    names = ("frames", "stride", "resize", "crop", "mean", "std")
    own = {name: getattr(spec.input, name) for name in names}
    return {"vidsemi": __version__, "model": spec.model, "classes": spec.classes, **own}


def trace(network: nn.Module, spec: InputSpec) -> ExportedProgram:
    """Trace a network's `Scorer` for any number of clips."""
    clips = torch.zeros(2, *_clip_shape(spec), dtype=torch.uint8)  # 2, since torch makes a constant of 1
    shapes = {"clips": {0: torch.export.Dim(BATCH, min=1)}}
    try:
        program = torch.export.export(Scorer(network, spec), (clips,), dynamic_shapes=shapes)
    except Exception as error:  # each part of the tracer raises errors of its own
        raise UserError("export.untraceable", f"torch cannot export this network: {first_line(error)}") from None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it holds paths of this machine
    return program


@torch.inference_mode()
def largest_difference(exported: Run, network: nn.Module, spec: NetworkSpec) -> float:
    """Return the largest difference between the scores of an exported network and the network's, on random clips.

    The network is used as it was trained, its batch norm not folded, so that the two share nothing but the weights. A
    confident network gives scores of 0 and 1 whatever its input, so a hundredth of the difference of the logarithms of
    the scores counts too.
    """
    random = torch.Generator().manual_seed(0)
    differences = []
    for clips_per_pass in TEST_BATCHES:
        shape = (clips_per_pass, *_clip_shape(spec.input))
        clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
        with evaluating(network):
            expected = network(normalize(clips, spec.input)).softmax(dim=1)
        actual = exported(clips)
        if actual.shape != expected.shape:
            raise ValueError(f"scores of {clips_per_pass} clips have the shape {tuple(actual.shape)}")
        logarithms = (actual.clamp_min(MIN_SCORE).log() - expected.clamp_min(MIN_SCORE).log()) / 100
        differences += [(actual - expected).abs().max(), logarithms.abs().max()]
    return float(torch.stack(differences).max())  # NaN if any is


def _clip_shape(spec: InputSpec) -> tuple[int, int, int, int]:
    return spec.frames, 3, spec.crop, spec.crop


@contextmanager
def _silence() -> Iterator[None]:
    """Silence exporters, which print, warn and log; their failures are exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _save_pt2(program: ExportedProgram, file: Path, metadata: str) -> None:
    with open(file, "wb") as stream:  # a path would have to end with .pt2
        torch.export.save(program, stream, extra_files={KEY: metadata})


def _load_pt2(file: Path) -> Run:
    with open(file, "rb") as stream:
        return torch.export.load(stream).module()


def check_onnx(network: nn.Module) -> None:
    """Check before the work that a network can become an ONNX file here: its size and the installed packages."""
    size = 4 * sum(parameter.numel() for parameter in network.parameters())
    if size >= ONNX_LIMIT:
        raise UserError(
            "export.too_large",
            f"the parameters take {size / 2**30:.1f} GiB, but an ONNX file holds less than 2 GiB; export as .pt2",
        )
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError("export.missing_package", f"to export ONNX, pip install 'vidsemi[export]' ({error})") from None


def _save_onnx(program: ExportedProgram, file: Path, metadata: str) -> None:
    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={"clips": {0: BATCH}},
    )
    assert exported is not None
    exported.model.metadata_props[KEY] = metadata
    exported.save(file, external_data=False)


def _load_onnx(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run([OUTPUT], {INPUT: clips.numpy()})[0])


# Tolerances allow for folded batch norm: an R(2+1)D-18 differed by 1.6e-7 as .pt2 and 1.7e-7 as ONNX, a ResNet-50 whose
# best scores are 0.8 by 1.8e-6 and 1.9e-6. A mean of red that is wrong by 0.01 makes 1.9e-3 and 2.5e-2. ONNX runtimes
# choose convolutions by processor and rewrite the graph, hence ten times as much for them.
FORMATS = {
    "pt2": Format(_save_pt2, _load_pt2, tolerance=1e-5),
    "onnx": Format(_save_onnx, _load_onnx, tolerance=1e-4),
}
