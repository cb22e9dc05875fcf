"""Commands that take a trained network: score, predict, evaluate."""

import argparse
from pathlib import Path
from typing import Any

from vidsemi.cli.options import (
    Answer,
    add_command,
    add_manifest_arguments,
    add_network_arguments,
    integer,
    positive_int,
)


def add_parsers(subparsers: Any) -> None:
    """Add `score`, `predict` and `evaluate`."""
    parser = add_command(subparsers, "score", score, "score a dataset with a network")
    add_network_arguments(parser)
    add_manifest_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="directory for the scores")
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
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of the network (default: auto)"
    )

    parser = add_command(subparsers, "predict", predict, "predict the classes of videos and images")
    parser.add_argument("files", nargs="+", metavar="FILE", help="videos, images, or folders of them")
    parser.add_argument(
        "--top", type=positive_int, default=5, metavar="N", help="classes shown per file (default: %(default)s)"
    )
    add_network_arguments(parser)

    parser = add_command(subparsers, "evaluate", evaluate, "measure the video-level accuracy of a network")
    add_network_arguments(parser)
    add_manifest_arguments(parser)
    parser.add_argument("--by-class", type=Path, metavar="CSV", help="write the accuracy of each class")


def _machine(options: argparse.Namespace) -> Any:
    from vidsemi.config import Runtime

    return Runtime(
        device=options.device,
        workers=options.workers,
        seconds_per_file=options.seconds_per_file,
        clips_per_forward=options.clips_per_forward,
    )


def score(options: argparse.Namespace) -> Answer:
    """Score a corpus."""
    runtime = _machine(options)
    from vidsemi.data.manifest import load_manifest
    from vidsemi.inference.score import score_manifest

    corpus = load_manifest(options.manifest, options.root)
    figures = score_manifest(
        options.output,
        weights=options.weights,
        manifest=corpus,
        views=options.views,
        crops=options.crops,
        per_example=options.per_example,
        shard_size=options.shard_size,
        precision=options.precision,
        runtime=runtime,
        title="score",
    )
    text = f"{options.output}: {figures['scored']} of {len(corpus)} examples scored, {figures['failed']} cannot be read"
    return {"scores": str(options.output), **figures}, text


def predict(options: argparse.Namespace) -> Answer:
    """The best classes of files."""
    runtime = _machine(options)
    from vidsemi.inference.predict import predict_files
    from vidsemi.io.tables import markdown_table

    predictions = predict_files(
        weights=options.weights,
        paths=options.files,
        views=options.views,
        crops=options.crops,
        top=options.top,
        runtime=runtime,
    )
    table: list[tuple[str, ...]] = []
    for found in predictions:
        rows = [
            (name, f"{100 * score:.1f}", " ".join(f"{100 * view:.0f}" for view in views))
            for name, score, views in zip(found.classes, found.scores, found.views.T, strict=True)
        ]
        rows = rows or [(f"cannot be read: {found.error}", "", "")]
        table += [(found.path if row is rows[0] else "", *row) for row in rows]
    text = "\n".join(markdown_table(("file", "class", "score %", "each view %"), table))
    return {"files": [found.document() for found in predictions]}, text


def evaluate(options: argparse.Namespace) -> Answer | None:
    """Test a network; of several processes the first one answers."""
    from vidsemi.runtime.distributed import first_before_others, process_group, processes

    with process_group():
        with first_before_others():
            runtime = _machine(options)
            from vidsemi.data.manifest import load_manifest
            from vidsemi.io.files import keep_inputs, prepare_target

            corpus = load_manifest(options.manifest, options.root)
            if options.by_class:
                keep_inputs(options.by_class, options.weights, options.manifest)
                prepare_target(options.by_class)
        from vidsemi.inference.evaluate import evaluate_weights

        figures = evaluate_weights(
            weights=options.weights,
            manifest=corpus,
            views=options.views,
            crops=options.crops,
            runtime=runtime,
            title="evaluate",
            by_class=options.by_class,
        )
        if not processes().first:
            return None
    text = (
        f"top-1 {figures['top1']:.2f}%  top-5 {figures['top5']:.2f}%  class mean {figures['mean_class_top1']:.2f}%  "
        f"({figures['read']} of {figures['total']} examples read, {figures['views']} views, "
        f"{figures['gmacs_per_view']:.4g} GMAC a view)"
    )
    return figures, text
