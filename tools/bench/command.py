"""The command line of `tools/bench.py`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tools.bench.arguments import BENCHMARKS
from vidsemi.cli.main import run_command
from vidsemi.cli.options import Answer, Parser, add_command
from vidsemi.io.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; returns the exit status."""
    return run_command(build_parser, arguments)


def build_parser() -> Parser:
    """A parser with a subcommand for each benchmark."""
    parser = Parser(prog="bench.py", description="Benchmark vidsemi against peers and limits.")
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT", required=True)
    for name, (about, add_arguments) in BENCHMARKS.items():
        add_arguments(add_command(subjects, name, bench, about))
    return parser


def bench(options: argparse.Namespace) -> Answer:
    """Run the benchmark that `options` name."""
    counts = (
        "rows",
        "tests",
        "classes",
        "per_class",
        "per_example",
        "shard_size",
        "rounds",
        "repeats",
        "videos",
        "seconds",
    )
    for name in (*counts, "frames", "size", "clips", "batch"):
        value = getattr(options, name, None)
        if value is not None and not 1 <= value <= 10**12:
            raise UserError(
                "arguments.out_of_range", f"--{name.replace('_', '-')} is {value}; it must lie in [1, 10^12]"
            )
    subjects = {
        "select": _bench_select,
        "decode": _bench_decode,
        "score": _bench_score,
        "engines": _bench_engines,
        "forward": _bench_forward,
        "train": _bench_train,
        "feed": _bench_feed,
        "tags": _bench_tags,
        "manifest": _bench_manifest,
        "duplicates": _bench_duplicates,
        "scale": _bench_scale,
        "files": _bench_files,
        "cluster": _bench_cluster,
        "requests": _bench_requests,
    }
    return subjects[options.subject](options)


def _videos(options: argparse.Namespace) -> list[Path]:
    """The given files, or else clips of datasets/moving_shapes."""
    from tools.bench.decode import made_files
    from vidsemi.io.files import dataset_folder

    return options.files or made_files(dataset_folder("moving_shapes") / "prepare.py", options.data)


def _bench_decode(options: argparse.Namespace) -> Answer:
    from tools.bench.decode import bench_decode, text

    document = bench_decode(_videos(options), repeats=options.repeats, rounds=options.rounds, only=options.only)
    return document, text(document)


def _bench_score(options: argparse.Namespace) -> Answer:
    from tools.bench.score import bench_score, text

    document = bench_score(
        _videos(options),
        videos=options.videos,
        rounds=options.rounds,
        data=options.data,
        only=options.only,
        models=[options.model] if options.model else [],
        device=options.device,
    )
    return document, text(document)


def _bench_engines(options: argparse.Namespace) -> Answer:
    if options.videos < 5 * options.workers * options.shard_size:
        raise UserError("arguments.out_of_range", "--videos must be at least 5 shards per worker")
    from tools.bench.engines import bench_engines, text

    document = bench_engines(
        _videos(options),
        videos=options.videos,
        shard_size=options.shard_size,
        workers=options.workers,
        rounds=options.rounds,
        data=options.data,
        only=options.only,
    )
    return document, text(document)


def _bench_forward(options: argparse.Namespace) -> Answer:
    from tools.bench.forward import bench_forward, text

    document = bench_forward(
        frames=options.frames,
        size=options.size,
        clips=options.clips,
        device=options.device,
        rounds=options.rounds,
        only=options.only,
    )
    return document, text(document)


def _bench_train(options: argparse.Namespace) -> Answer:
    from tools.bench.train import bench_train, text

    document = bench_train(
        _videos(options),
        frames=options.frames,
        size=options.size,
        batch=options.batch,
        videos=options.videos,
        model=options.model,
        device=options.device,
        rounds=options.rounds,
        programs=options.programs,
        only=options.only,
    )
    return document, text(document)


def _bench_feed(options: argparse.Namespace) -> Answer:
    if any(not 0 < rate < float("inf") for rate in options.device_rate or ()):
        raise UserError("arguments.out_of_range", "--device-rate takes two numbers of clips per second above 0")
    from tools.bench.feed import bench_feed, text

    document = bench_feed(
        _videos(options),
        frames=options.frames,
        rounds=options.rounds,
        seconds=options.seconds,
        data=options.data,
        device_rate=options.device_rate,
        parts_only=options.parts_only,
        only=options.only,
    )
    return document, text(document)


def _bench_select(options: argparse.Namespace) -> Answer:
    if options.per_example > options.classes / 2:
        raise UserError("arguments.out_of_range", "--per-example must be at most half of --classes")
    from tools.bench.select import HEADER, bench_select, cells
    from vidsemi.io.tables import markdown_table

    document = bench_select(
        None if options.generate else options.data,
        rows=int(options.rows),
        classes=options.classes,
        per_class=options.per_class,
        per_example=options.per_example,
        examples_per_shard=options.shard_size,
        rounds=options.rounds,
        only=options.only,
    )
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['rows']:,} rows in {document['shards']:,} shards from {document['source']}, "
        f"{options.classes} classes, K = {options.per_class:,}, P = {options.per_example}\n"
        f"medians of {options.rounds} runs, each in a fresh process\n"
        f"{document['cores']} cores of {document['processor']}; {versions}\n"
    )
    return document, "\n".join([setting, *markdown_table(HEADER, cells(document))])


def _bench_manifest(options: argparse.Namespace) -> Answer:
    from tools.bench.manifest import bench_manifest, text

    document = bench_manifest(
        options.data, rows=int(options.rows), rounds=options.rounds, only=options.only, hashtags=options.hashtags
    )
    return document, text(document)


def _bench_tags(options: argparse.Namespace) -> Answer:
    from tools.bench.tags import bench_tags, text

    document = bench_tags(
        options.data, rows=int(options.rows), rounds=options.rounds, only=options.only, clean=options.clean
    )
    return document, text(document)


def _bench_duplicates(options: argparse.Namespace) -> Answer:
    from tools.bench.duplicates import bench_duplicates, text

    document = bench_duplicates(
        options.data,
        rows=int(options.rows),
        tests=0 if options.within else int(options.tests),
        videos=options.kind == "videos",
        memory=options.memory,
        rounds=options.rounds,
        only=options.only,
    )
    return document, text(document)


def _bench_scale(options: argparse.Namespace) -> Answer:
    from tools.bench.scale import bench_scale, text

    document = bench_scale(
        options.data,
        rows=int(options.rows),
        per_class=options.per_class,
        per_example=options.per_example,
        shard_size=options.shard_size,
    )
    return document, text(document)


def _bench_files(options: argparse.Namespace) -> Answer:
    from tools.bench.files import bench_files, text

    document = bench_files(options.data, files=int(options.rows), rounds=options.rounds, only=options.only)
    return document, text(document)


def _bench_cluster(options: argparse.Namespace) -> Answer:
    limits = {"workers": (1, 1e5), "shards": (1, 1e5), "shard_seconds": (1e-3, 1e6), "kills": (0, 60)}
    for name, (least, most) in {**limits, "slow": (0, 1), "start_seconds": (0, 1e5)}.items():
        values = getattr(options, name)
        for value in values if isinstance(values, list) else [values]:
            if not least <= value <= most:
                raise UserError(
                    "arguments.out_of_range",
                    f"--{name.replace('_', '-')} is {value:g}; it must lie in [{least:g}, {most:g}]",
                )
    from tools.bench.cluster import bench_cluster, text

    document = bench_cluster(
        workers=options.workers,
        shards=options.shards,
        seconds=options.shard_seconds,
        scores=options.scores,
        kills=options.kills,
        slow=options.slow,
        start_seconds=options.start_seconds,
        store=options.store,
        seed=options.seed,
    )
    return document, text(document)


def _bench_requests(options: argparse.Namespace) -> Answer:
    from tools.bench.bucket_requests import bench_requests, text

    document = bench_requests(options.data / "requests", files=options.files, seconds=options.seconds)
    return document, text(document)
