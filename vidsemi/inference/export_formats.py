"""A trained network as a file that other programs run without vidsemi: uint8 clips in, one softmax a clip out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.inference.model import fused
from vidsemi.io.errors import UserError
from vidsemi.runtime.library_errors import first_line

KEY = "vidsemi"  # of the JSON document inside the file
INPUT, OUTPUT, MANY = "clips", "scores", "N"  # names inside an ONNX file
ONNX_LIMIT = 2**31  # bytes of a protocol buffer, which a file of ONNX is

Run = Callable[[torch.Tensor], torch.Tensor]  # uint8 clips to scores


class Scorer(nn.Module):
    """What scoring computes of clips, in one module.

    Args:
        network: maps (N, 3, T, H, W) to logits (N, classes); stays as it is.
        spec: what it takes in.
    """

    def __init__(self, network: nn.Module, spec: InputSpec):
        super().__init__()
        self.network, self.spec = fused(network.eval()), spec

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, T, 3, crop, crop) uint8 → (N, classes) float32, each row a softmax."""
        return self.network(normalize(clips, self.spec)).float().softmax(dim=1)


def trace(network: nn.Module, spec: InputSpec) -> ExportedProgram:
    """The graph of a network's `Scorer`, for any number of clips.

    Raises:
        UserError: torch cannot make one graph of it.
    """
    clips = torch.zeros(2, spec.frames, 3, spec.crop, spec.crop, dtype=torch.uint8)  # 2: of 1 it would make a constant
    shapes = {"clips": {0: torch.export.Dim(MANY, min=1)}}
    try:
        program = torch.export.export(Scorer(network, spec), (clips,), dynamic_shapes=shapes)
    except Exception as error:  # each part of the tracer has errors of its own
        raise UserError(f"this network cannot be exported; torch says: {first_line(error)}") from None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, which would stand in the file
    return program


def _save_pt2(program: ExportedProgram, file: Path, metadata: str) -> None:
    with open(file, "wb") as stream:  # by name, it must end with .pt2
        torch.export.save(program, stream, extra_files={KEY: metadata})


def _load_pt2(file: Path) -> Run:
    with open(file, "rb") as stream:
        return torch.export.load(stream).module()


def check_onnx(network: nn.Module) -> None:
    """Find out before the work whether a network can become an ONNX file here.

    Raises:
        UserError: it is too large for one file, or packages are missing.
    """
    size = 4 * sum(parameter.numel() for parameter in network.parameters())
    if size >= ONNX_LIMIT:
        raise UserError(
            f"the parameters take {size / 2**30:.1f} GiB, and an ONNX file holds less than 2 GiB; export it as .pt2"
        )
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs pip install 'vidsemi[export]' ({error})") from None


def _save_onnx(program: ExportedProgram, file: Path, metadata: str) -> None:
    made = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={"clips": {0: MANY}},
    )
    assert made is not None
    made.model.metadata_props[KEY] = metadata
    made.save(file, external_data=False)


def _load_onnx(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; below are remarks on the graph
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(session.run([OUTPUT], {INPUT: clips.numpy()})[0])


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        save: writes a graph and the JSON document that goes with it.
        load: makes what is in the file run on the CPU.
        tolerance: how far its scores may be from the network's.
    """

    save: Callable[[ExportedProgram, Path, str], None]
    load: Callable[[Path], Run]
    tolerance: float


# What folding batch norm costs: an R(2+1)D-18 differed by 1.6e-7 as .pt2 and 1.7e-7 as ONNX, a ResNet-50 whose best
# scores are 0.8 by 1.8e-6 and 1.9e-6. A mean of red that is wrong by 0.01 makes 1.9e-3 and 2.5e-2.
# Runtimes of ONNX choose convolutions by processor and rewrite the graph, hence ten times as much for them.
FORMATS = {
    "pt2": Format(_save_pt2, _load_pt2, tolerance=1e-5),
    "onnx": Format(_save_onnx, _load_onnx, tolerance=1e-4),
}
