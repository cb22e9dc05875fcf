"""`vidsemi export`: a network for programs that do without vidsemi."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command
from vidsemi.io.errors import UserError


def add_parsers(subparsers: Any) -> None:
    """Add `export`."""
    parser = add_command(subparsers, "export", export, "write a network as a file that runs without vidsemi")
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    parser.add_argument("--format", choices=["pt2", "onnx"], help="default: the suffix of the output")
    parser.add_argument("--output", type=Path, help="file to write, .pt2 or .onnx; default: beside the weights")


def export(options: argparse.Namespace) -> Answer:
    """Write a network as .pt2 or ONNX, and run what was written."""
    if options.output is None and options.format is None:
        raise UserError("say --format pt2 or onnx, or name an --output that ends so")
    output = options.output or options.weights.with_suffix(f".{options.format}")
    suffix = output.suffix.lstrip(".")
    if suffix not in ("pt2", "onnx"):
        raise UserError(f"--output {output}: the name must end with .pt2 or .onnx")
    if options.format not in (None, suffix):  # the programs that load the file go by its name
        raise UserError(f"--output {output} is no name for --format {options.format}; end it with that")
    from vidsemi.inference.export import export_weights

    figures = export_weights(weights=options.weights, output=output, format=suffix)
    text = "\n".join(
        [
            f"{figures['file']}: {figures['bytes']:,} bytes",
            f"clips   ({', '.join(map(str, figures['input']))}) uint8",
            f"scores  ({figures['input'][0]}, {figures['classes']}) float32",
            f"ran on random clips; at most {figures['largest_difference']:.1e} from the network's scores "
            f"(allowed: {figures['tolerance']:g})",
        ]
    )
    return figures, text
