"""Commands about networks that are not trained here: models, flops, convert."""

import argparse
import json
from pathlib import Path
from typing import Any

from vidsemi.cli.options import Answer, add_command, integer, positive_int, read_class_names
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
    parser.add_argument("--weights", required=True, metavar="FILE", help="file or https:// address")
    parser.add_argument("--classes", type=Path, required=True, metavar="TXT", help="class names, one a line, in order")
    parser.add_argument("--output", type=Path, required=True, help="weights.pt to write")
    _add_model_arguments(parser)
    parser.add_argument("--stride", type=integer(1, 10_000), help="step between a clip's frames")
    parser.add_argument(
        "--resize",
        type=int,
        nargs="+",
        metavar="N",
        help="height and width that frames are resized to, or shorter side",
    )
    parser.add_argument("--mean", type=float, nargs=3, metavar="X", help="of red, green and blue, from 0 to 1")
    parser.add_argument("--std", type=float, nargs=3, metavar="X", help="of red, green and blue, from 0 to 1")


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="NAME", help="`vidsemi models` lists them")
    parser.add_argument(
        "--frames", type=integer(1, 10_000), metavar="T", help="clip length; default: the pretrained config's"
    )
    parser.add_argument(
        "--size",
        type=integer(1, 10_000),
        metavar="S",
        help="side of the crop; default: the pretrained config's, or 112",
    )
    parser.add_argument(
        "--args",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the network, e.g. width=0.25 stem=cifar",
    )


def models(options: argparse.Namespace) -> Answer:
    """The networks that there are, and what they take."""
    from vidsemi.models.listing import list_models

    entries = list_models(options.pattern)
    if not entries:
        raise UserError(f"no network has a name with '{options.pattern}' in it; `vidsemi models` lists them all")
    from vidsemi.io.tables import markdown_table

    rows = [
        tuple("" if entry[key] is None else str(entry[key]) for key in ("name", "frames", "stride", "resize", "crop"))
        for entry in entries
    ]
    lines = markdown_table(("name", "frames", "stride", "resize", "crop"), rows)
    if len(entries) == 1:
        lines += [f"published weights: {address}" for address in entries[0]["weights"]]
    lines += ["", "What is empty is for you to say in the config (docs/models.md)."]
    return {"models": entries}, "\n".join(lines)


def flops(options: argparse.Namespace) -> Answer:
    """What a network costs."""
    from vidsemi.io.tables import markdown_table
    from vidsemi.models.flops import CONVENTION, measure_cost
    from vidsemi.runtime.library_errors import first_line

    names = [f"class {number}" for number in range(options.classes)]
    spec = _spec(options, names, {"crop": options.size, "resize": options.size})
    from vidsemi.models.build import check_network

    check_network(spec)
    takes = spec.input
    try:
        cost = measure_cost(spec.build(), frames=takes.frames, size=takes.crop)
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"{spec.model} cannot be run on one view of that length and size: {first_line(error)}"
        ) from None
    document = {
        "model": spec.model,
        "args": dict(spec.args),
        "frames": takes.frames,
        "size": takes.crop,
        "classes": options.classes,
        "parameters": cost.parameters,
        "gmacs_per_view": cost.gmacs_per_view,
        "views": options.views,
        "gmacs_per_video": cost.gmacs_per_view * options.views,
        "activations_per_view": cost.activations_per_view,
        "gmacs_by_group": cost.gmacs_by_group,
        "uncounted": cost.uncounted,
        "convention": CONVENTION,
    }
    groups = [
        (name, f"{gmacs:.4g}", f"{100 * gmacs / cost.gmacs_per_view:.1f}")
        for name, gmacs in cost.gmacs_by_group.items()
    ]
    text = "\n".join(
        [
            f"{spec.model}, {takes.frames} frame{'s' * (takes.frames > 1)} of {takes.crop}×{takes.crop}, "
            f"{options.classes} classes",
            f"parameters      {cost.parameters / 1e6:.2f}M",
            f"GMAC per view   {cost.gmacs_per_view:.2f}",
            f"GMAC per video  {cost.gmacs_per_view * options.views:.2f}  ({options.views} views)",
            f"activations     {cost.activations_per_view / 1e6:.2f}M per view (what the counted operators put out)",
            f"({CONVENTION})",
            "",
            *markdown_table(("layers", "GMAC per view", "%"), groups),
            "",
            "without a count: "
            + (", ".join(f"{name} ×{times}" for name, times in cost.uncounted.items()) or "nothing"),
        ]
    )
    return document, text


def convert(options: argparse.Namespace) -> Answer:
    """Published weights → a checkpoint of ours."""
    classes = read_class_names(options.classes)
    from vidsemi.io.files import prepare_target
    from vidsemi.models.build import adopt, check_network

    prepare_target(options.output)
    resize = options.resize[0] if options.resize and len(options.resize) == 1 else options.resize
    takes = {"crop": options.size, "resize": resize, "stride": options.stride, "mean": options.mean, "std": options.std}
    spec = _spec(options, classes, takes)
    check_network(spec)
    figures = adopt(options.output, spec, options.weights)
    document = {"weights": str(options.output), "model": spec.model, "classes": len(classes), **figures}
    return document, f"{options.output}: {spec.model}, {len(classes)} classes, {figures['loaded']} tensors"


def _spec(options: argparse.Namespace, classes: list[str], input: dict[str, Any]) -> Any:
    """The network that the options describe, with the input that it wants but for what `input` says."""
    from pydantic import ValidationError

    from vidsemi.config import Input, Network, OwnInput
    from vidsemi.models.build import network_spec, ready_spec
    from vidsemi.models.pretrained_cfg import IMAGENET
    from vidsemi.models.registry import RESNETS, check_model

    check_model(options.model)
    frames, default = options.frames, Input()
    if options.model in RESNETS:  # published weights of these are ImageNet's
        frames = frames or IMAGENET.frames
        default = Input(**{key: getattr(IMAGENET, key) for key in ("resize", "crop", "mean", "std")})
    try:
        own = OwnInput(**{key: value for key, value in input.items() if value is not None})
        network = Network(
            model=options.model,
            frames=frames,
            args=dict(map(_argument, options.args)),
            input=own,
            init_from=getattr(options, "weights", None),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{key}: {message}" if key else message) from None
    return (ready_spec if network.init_from else network_spec)(network, default, classes)


def _argument(text: str) -> tuple[str, Any]:
    """`width=0.25` → a name and a value as in YAML."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--args {text}: write NAME=VALUE, as in --args width=0.25")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
