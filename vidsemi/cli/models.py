"""`vidsemi models`, `flops` and `convert`: networks that are not trained here."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, integer, local, positive_int
from vidsemi.io.errors import UserError


def add_parsers(subparsers: Any) -> None:
    """Add `models`, `flops` and `convert`."""
    parser = add_command(subparsers, "models", models, "list the networks and the input they expect")
    parser.add_argument("pattern", nargs="?", metavar="TEXT", help="only names that contain this")

    parser = add_command(subparsers, "flops", flops, "count the parameters, multiply-adds and activations of a network")
    _add_model_arguments(parser)
    parser.add_argument(
        "--classes", type=positive_int, default=400, help="outputs of the classifier (default: %(default)s)"
    )
    parser.add_argument(
        "--views", type=integer(1, 10_000), default=10, metavar="V", help="views per video (default: %(default)s)"
    )

    parser = add_command(subparsers, "convert", convert, "convert published weights to a file that all commands read")
    own = "not needed with --model hf:DIR"
    parser.add_argument("--weights", metavar="FILE", help=f"published weights: file or https:// address; {own}")
    parser.add_argument("--classes", type=local, metavar="TXT", help=f"class names, one a line, in order; {own}")
    parser.add_argument("--output", type=local, required=True, help="weights.pt to write")
    _add_model_arguments(parser)
    parser.add_argument("--stride", type=integer(1, 10_000), help="step between the frames of a clip")
    parser.add_argument(
        "--resize", type=int, nargs="+", metavar="N", help="height and width to resize frames to, or their shorter side"
    )
    parser.add_argument("--mean", type=float, nargs=3, metavar="X", help="RGB mean, for pixel values from 0 to 1")
    parser.add_argument(
        "--std", type=float, nargs=3, metavar="X", help="RGB standard deviation, for pixel values from 0 to 1"
    )


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="name of the network; `vidsemi models` lists them"
    )
    count, default = integer(1, 10_000), "default: the pretrained config's"
    parser.add_argument("--frames", type=count, metavar="T", help=f"clip length; {default}")
    parser.add_argument("--size", type=count, metavar="S", help=f"side of the crop; {default}, or 112")
    parser.add_argument(
        "--args",
        type=_model_argument,
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the network, e.g. width=0.25 stem=cifar",
    )


def models(options: argparse.Namespace) -> Answer:
    """List the networks and the input they expect."""
    from vidsemi.io.tables import markdown_table
    from vidsemi.models.layouts.layout import LICENSE
    from vidsemi.models.registry import list_models

    entries = list_models(options.pattern)
    if not entries:
        raise UserError("model.unknown", f"no network's name has '{options.pattern}'; `vidsemi models` lists them all")
    columns = ("name", "frames", "stride", "resize", "crop")
    rows = [["" if entry[column] is None else str(entry[column]) for column in columns] for entry in entries]
    lines = markdown_table(columns, rows)
    if len(entries) == 1:
        (only,) = entries
        if "classes" in only:  # of hf:DIR
            own = ", ".join(f"{name}={value}" for name, value in only["args"].items())
            lines += ["", f"network: {only['model']} ({own})", f"classes: {only['classes']}"]
            lines += [f"license: {only['license'] or 'not known'}", *(f"weights: {file}" for file in only["weights"])]
        else:
            lines += [f"published weights: {address}" for address in only["weights"]]
            lines += (
                [f"license: {LICENSE} (of the published weights)"] if only["name"].startswith("pytorchvideo/") else []
            )
    lines += ["", "Empty cells are left to the config (docs/guides/models.md)."]
    return {"models": entries}, "\n".join(lines)


def flops(options: argparse.Namespace) -> Answer:
    """Count the parameters, multiply-adds and activations of a network."""
    from vidsemi.api.flops import cost_of_name

    own = {"frames": options.frames, "size": options.size, "args": dict(options.args)}
    spec, cost = cost_of_name(options.model, options.classes, **own)
    frames, size = spec.input.frames, spec.input.crop
    about = {"model": spec.model, "args": dict(spec.args), "frames": frames, "size": size, "classes": options.classes}
    title = f"{spec.model}, {frames} frame{'s' * (frames > 1)} of {size}×{size}, {options.classes} classes (--classes)"
    return about | cost.document(options.views), f"{title}\n{cost.text(options.views)}"


def convert(options: argparse.Namespace) -> Answer:
    """Convert published weights to a weights file of vidsemi."""
    from vidsemi.api.specs import OwnSpec, spec_of
    from vidsemi.data.class_names import read_class_names
    from vidsemi.io.files import prepare_target
    from vidsemi.models.build import import_weights
    from vidsemi.models.hf_folder import folder_of, is_hf_folder, named_classes

    folder = folder_of(options.model)
    if missing := [name for name in ("weights", "classes") if getattr(options, name) is None and folder is None]:
        raise UserError("convert.missing_option", f"--{missing[0]} is missing; only --model hf:DIR has its own")
    classes = read_class_names(options.classes) if options.classes or not folder else named_classes(folder)
    source = options.weights or str(folder)
    prepare_target(options.output)
    resize = options.resize[0] if options.resize and len(options.resize) == 1 else options.resize
    args = dict(options.args)
    own = OwnSpec(options.frames, options.size, options.stride, resize, options.mean, options.std, args)
    spec = spec_of(options.model, classes, own, init_from=source)
    report = import_weights(options.output, spec, source, rename=bool(options.classes) and is_hf_folder(Path(source)))
    takes = asdict(spec.input)
    del takes["decoder"]
    document = {"weights": str(options.output), "model": spec.model, "classes": len(classes), "input": takes, **report}
    lines = [f"{options.output}: {spec.model}, {len(classes)} classes, {report['loaded']} tensors"]
    lines += [f"read from: {report['layout']}", f"license: {report['license']}"] if "layout" in report else []
    return document, "\n".join([*lines, f"input: {', '.join(f'{key} {value}' for key, value in takes.items())}"])


def _model_argument(text: str) -> tuple[str, Any]:
    """An argument type: `width=0.25` → a name and a value as in YAML."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"is {text}; must be NAME=VALUE, as in width=0.25")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
