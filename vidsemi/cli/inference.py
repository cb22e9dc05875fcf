"""Commands that use a trained network: score, evaluate, predict, export."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import (
    Answer,
    add_command,
    add_engine_arguments,
    add_manifest_arguments,
    add_network_arguments,
    add_root_argument,
    integer,
    local,
    positive_int,
)
from vidsemi.io.errors import UserError
from vidsemi.io.store import parse_place

EXPORT_FORMATS = ("pt2", "onnx")


def add_parsers(subparsers: Any) -> None:
    """Add `score`, `evaluate`, `predict` and `export`."""
    parser = add_command(subparsers, "score", score, "score a dataset with a network")
    add_network_arguments(parser)
    add_manifest_arguments(parser)
    parser.add_argument(
        "--output",
        type=parse_place,
        required=True,
        help="directory for the scores, or s3://, gs:// or az:// and its path",
    )
    parser.add_argument(
        "--per-example",
        type=positive_int,
        default=10,
        metavar="P",
        help="highest-scoring classes stored per example (default: %(default)s)",
    )
    parser.add_argument(
        "--shard-size",
        type=integer(1, 10**9),
        default=1000,
        help="examples per shard; with tars, as many as fit (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "float16"],
        default="auto",
        help="precision of the network; auto is bfloat16 where it is fast (default: auto)",
    )
    _add_retry_argument(parser)
    add_engine_arguments(parser, gpus=True)

    parser = add_command(subparsers, "evaluate", evaluate, "measure the video-level accuracy of a network")
    add_network_arguments(parser)
    add_manifest_arguments(parser)
    parser.add_argument("--by-class", type=local, metavar="CSV", help="write the accuracy of each class")

    parser = add_command(subparsers, "predict", predict, "predict the classes of videos and images")
    parser.add_argument("files", nargs="*", metavar="FILE", help="videos, images, folders of them, or one manifest")
    parser.add_argument("--manifest", type=parse_place, help="examples, .parquet or .csv, in place of files")
    add_root_argument(parser)
    parser.add_argument("--output", type=local, help="table of the predictions to write, .parquet or .csv")
    parser.add_argument(
        "--top", type=positive_int, default=5, metavar="N", help="number of classes per example (default: %(default)s)"
    )
    _add_retry_argument(parser)
    add_network_arguments(parser)

    parser = add_command(subparsers, "export", export, "write a network as a file that runs without vidsemi")
    parser.add_argument("--weights", type=local, required=True, help="weights.pt of a trained network")
    parser.add_argument("--format", choices=EXPORT_FORMATS, help="default: the suffix of the output")
    parser.add_argument("--output", type=local, help="file to write, .pt2 or .onnx; default: beside the weights")


def _add_retry_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--retry-failures",
        nargs="?",
        const="",
        metavar="PATTERN",
        help="read failed examples again whose path or error contains this text; * and ? are wildcards",
    )


def _common(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that the functions of all of these commands take."""
    names = ("views", "crops", "decoder", "device", "workers", "seconds_per_file", "clips_per_forward")
    return {name: getattr(options, name) for name in names}


def score(options: argparse.Namespace) -> Answer:
    """Score a manifest."""
    from dataclasses import asdict

    from vidsemi.api.score import score

    scores = score(
        options.weights,
        options.manifest,
        options.output,
        root=options.root,
        per_example=options.per_example,
        shard_size=options.shard_size,
        precision=options.precision,
        retry_failures=options.retry_failures,
        engine=options.engine,
        actors=options.actors,
        cpus_per_actor=options.cpus_per_actor,
        gpus_per_actor=options.gpus_per_actor,
        **_common(options),
    )
    document = {**asdict(scores), "scores": str(scores.scores)}
    if not scores.in_float32:
        del document["in_float32"]
    total = scores.scored + scores.failed
    text = f"{options.output}: {scores.scored} of {total} examples scored, {scores.failed} cannot be read"
    return document, text


def evaluate(options: argparse.Namespace) -> Answer | None:
    """Evaluate a network; of several processes the first one answers."""
    from dataclasses import asdict

    from vidsemi.api.evaluate import evaluate
    from vidsemi.runtime.distributed import is_first

    found = evaluate(
        options.weights,
        options.manifest,
        root=options.root,
        by_class=options.by_class,
        **_common(options),
    )
    if not is_first():
        return None
    metrics, top5 = asdict(found), f"  top-5 {found.top5:.2f}%"
    if found.num_classes <= 5:  # every example that can be read would be right
        del metrics["top5"]
        top5 = ""
    text = (
        f"top-1 {found.top1:.2f}%{top5}  class mean {found.mean_class_top1:.2f}%  "
        f"({found.read} of {found.total} examples read, {found.views} views, "
        f"{found.gmacs_per_view:.4g} GMAC per view)"
    )
    return metrics, text


def predict(options: argparse.Namespace) -> Answer:
    """Predict the classes of files or of a manifest, as text or as a table."""
    if bool(options.files) == bool(options.manifest):
        raise UserError(
            "options.invalid", "give files, folders or --manifest (see vidsemi predict --help), and not both"
        )
    if options.output is None and options.retry_failures is not None:
        raise UserError(
            "options.invalid", "--retry-failures needs --output, which names the table of earlier predictions"
        )
    if options.output is not None:
        return _predict_to_table(options)
    from vidsemi.api.predict import predict
    from vidsemi.data.manifest import Manifest
    from vidsemi.inference.predict import examples_to_predict
    from vidsemi.io.tables import markdown_table

    examples = examples_to_predict(options.files, options.manifest, options.root)
    listed = (
        examples if isinstance(examples, Manifest) else [examples.row(number).path for number in range(len(examples))]
    )
    predictions = predict(options.weights, listed, top=options.top, **_common(options))
    assert isinstance(predictions, list)
    table: list[tuple[str, ...]] = []
    for one in predictions:
        rows = [
            (name, f"{100 * score:.1f}", " ".join(f"{100 * view:.0f}" for view in views))
            for name, score, views in zip(one.classes, one.scores, one.views.T, strict=True)
        ]
        rows = rows or [(f"cannot be read: {one.error}", "", "")]
        table += [(one.name if row is rows[0] else "", *row) for row in rows]
    text = "\n".join(markdown_table(("file", "class", "score %", "each view %"), table))
    return {"files": [one.document() for one in predictions]}, text


def _predict_to_table(options: argparse.Namespace) -> Answer:
    from vidsemi.api.arguments import runtime_of
    from vidsemi.inference.predict import as_manifest, examples_to_predict, predict_to_table
    from vidsemi.inference.predictions import check_suffix
    from vidsemi.io.files import keep_inputs, prepare_target
    from vidsemi.models.weights import local_copy

    output = options.output
    check_suffix(output)
    manifest = as_manifest(examples_to_predict(options.files, options.manifest, options.root))
    weights = options.weights if isinstance(options.weights, Path) else local_copy(options.weights)
    keep_inputs(output, weights, options.manifest, *map(Path, options.files))
    prepare_target(output)
    result = predict_to_table(
        output,
        weights=weights,
        manifest=manifest,
        views=options.views,
        crops=options.crops,
        decoder=options.decoder,
        top=options.top,
        runtime=runtime_of(options.device, options.workers, options.seconds_per_file, options.clips_per_forward),
        retry_failures=options.retry_failures,
    )
    text = (
        f"{output}: {result['examples']} examples, {result['failed']} cannot be read, {result['top']} classes of each"
    )
    return result, f"{text}\n{result['scores']}: scores to resume from; may be deleted"


def export(options: argparse.Namespace) -> Answer:
    """Export a network to .pt2 or ONNX, and check the file."""
    if options.output is None and options.format is None:
        raise UserError("export.missing_format", "give --format pt2 or onnx, or an --output with that suffix")
    from dataclasses import asdict

    from vidsemi.api.export import export

    output = options.output or options.weights.with_suffix(f".{options.format}")
    exported = export(options.weights, output, format=options.format)
    document = {**asdict(exported), "file": str(exported.file)}
    lines = [
        f"{exported.file}: {exported.bytes:,} bytes",
        f"clips   ({', '.join(map(str, exported.input))}) uint8",
        f"scores  ({exported.input[0]}, {exported.classes}) float32",
        f"checked on random clips: differs by at most {exported.largest_difference:.1e} from the network's scores "
        f"(allowed: {exported.tolerance:g})",
    ]
    return document, "\n".join(lines)
