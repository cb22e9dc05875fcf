"""The arguments of each benchmark of `tools/bench.py`."""

import argparse
from pathlib import Path

from vidsemi.cli.options import memory_size
from vidsemi.runtime.process import usable_cores


def _add_select(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=80e6, help="score rows (80e6)")
    bench.add_argument("--classes", type=int, default=400)
    bench.add_argument("--per-class", type=int, default=4000, metavar="K", help="examples per class (4000)")
    bench.add_argument("--per-example", type=int, default=4, metavar="P", help="rows per example (4)")
    bench.add_argument("--shard-size", type=int, default=250_000, help="examples per shard (250000)")
    bench.add_argument("--generate", action="store_true", help="run only vidsemi, on rows generated in memory")
    _add_contenders(bench)
    _add_data(bench)


def _add_decode(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--repeats", type=int, default=10, help="passes over all files in a run (10)")
    _add_contenders(bench)
    _add_data(bench)


def _add_score(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--videos", type=int, default=300, help="videos per run, a tenth for the large network (300)")
    bench.add_argument("--model", choices=["r2plus1d_10", "r2plus1d_18"], help="only this network")
    bench.add_argument("--device", default="auto")
    _add_contenders(bench)
    _add_data(bench)


def _add_engines(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--videos", type=int, default=2400, help="videos per run (2400)")
    bench.add_argument("--shard-size", type=int, default=40, help="videos per shard (40)")
    bench.add_argument(
        "--workers", type=int, default=usable_cores(), help="processes, or actors; default: one per core"
    )
    _add_contenders(bench)
    _add_data(bench)


def _add_forward(bench: argparse.ArgumentParser) -> None:
    _add_clips(bench)
    bench.add_argument("--clips", type=int, metavar="N", help="clips per forward pass; default: that of scoring")
    _add_contenders(bench)


def _add_train(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    _add_clips(bench)
    bench.add_argument("--batch", type=int, metavar="N", help="clips per step, in memory; default: 8 on a CPU, else 64")
    bench.add_argument(
        "--videos", type=int, default=400, help="clips per run from files, a tenth of them for the large network (400)"
    )
    bench.add_argument(
        "--programs", type=int, default=0, metavar="N", help="busy programs beside the runs from files (0)"
    )
    bench.add_argument(
        "--model",
        choices=["r2plus1d_10", "r2plus1d_18"],
        default="r2plus1d_10",
        help="of the table from files (r2plus1d_10)",
    )
    _add_contenders(bench)
    _add_data(bench)


def _add_feed(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--frames", type=int, default=8, metavar="T", help="clip length (8)")
    bench.add_argument("--seconds", type=int, default=5, help="timed in a run at least (5)")
    bench.add_argument(
        "--device-rate",
        type=float,
        nargs=2,
        metavar=("SCORING", "TRAINING"),
        help="clips per second of one GPU, as forward and train measure them: adds what limits 1 to 8 of them",
    )
    bench.add_argument(
        "--parts-only",
        action="store_true",
        help="leave out the rates from files to the sink, which other programs on the machine slow down",
    )
    _add_contenders(bench)
    _add_data(bench)


def _add_spelled_tags(bench: argparse.ArgumentParser) -> None:
    _add_tags(bench)
    bench.add_argument(
        "--clean",
        action="store_true",
        help="only tags of ASCII without URL encoding; without it 30%% of rows have others",
    )


def _add_tags(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=1e6, help="examples in the file (1e6)")
    _add_contenders(bench)
    _add_data(bench)


def _add_manifest(bench: argparse.ArgumentParser) -> None:
    _add_tags(bench)
    bench.add_argument("--hashtags", action="store_true", help="five hashtags per row")


def _add_duplicates(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=1e6, help="examples of the dataset (1e6)")
    bench.add_argument("--tests", type=float, default=1e4, help="examples of the test set (1e4)")
    bench.add_argument("--within", action="store_true", help="search within the dataset instead of a test set")
    bench.add_argument("--memory", type=memory_size, default="1G", help="of the search within the dataset (1G)")
    kinds = ["images", "videos"]
    bench.add_argument("--kind", choices=kinds, default="images", help="videos have five hashes each (images)")
    _add_contenders(bench)
    _add_data(bench)


def _add_scale(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=65e6, help="rows of the table of tags (65e6)")
    bench.add_argument("--per-class", type=int, default=4000, metavar="K", help="examples per class (4000)")
    bench.add_argument("--per-example", type=int, default=4, metavar="P", help="scores per example (4)")
    bench.add_argument("--shard-size", type=int, default=1000, help="examples per part of the scores (1000)")
    _add_data(bench)


def _add_made_files(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=1e6, help="files in the folder (1e6)")
    _add_contenders(bench)
    _add_data(bench)


def _add_cluster(bench: argparse.ArgumentParser) -> None:
    counts = [1, 10, 100, 1000, 2000]
    bench.add_argument("--workers", type=int, nargs="+", default=counts, help="numbers of workers (1 to 2000)")
    bench.add_argument("--shards", type=int, default=16, help="shards of each worker (16)")
    bench.add_argument("--shard-seconds", type=float, default=40.0, metavar="S", help="of a shard (40)")
    bench.add_argument("--scores", type=Path, help="scores that one worker wrote: its times replace --shard-seconds")
    bench.add_argument("--kills", type=float, nargs="+", default=[0, 0.25, 1], help="of a worker an hour (0 0.25 1)")
    bench.add_argument("--slow", type=float, default=0.02, help="share of workers that take twice as long (0.02)")
    bench.add_argument("--start-seconds", type=float, default=30.0, metavar="S", help="to start a worker (30)")
    bench.add_argument("--store", metavar="ADDRESS", help="measure requests to this store, such as s3://bucket/folder")
    bench.add_argument("--seed", type=int, default=0)


def _add_files(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("files", nargs="*", type=Path, metavar="FILE", help="videos; default: of datasets/moving_shapes")


def _add_clips(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--frames", type=int, default=8, metavar="T", help="clip length (8)")
    bench.add_argument("--size", type=int, default=112, metavar="S", help="side of the clips (112)")
    bench.add_argument("--device", default="auto")


def _add_contenders(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rounds", type=int, default=3, help="runs of each contender (3)")
    bench.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these contenders")


def _add_data(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--data", type=Path, default=Path("data/bench"), help="folder for generated files (data/bench)")


def _add_requests(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("files", nargs="*", type=Path, metavar="FILE", help="videos; default: one that is made")
    bench.add_argument("--seconds", type=int, default=240, help="length of the video that is made (240)")
    _add_data(bench)


# By subject: a description, and the function that adds its arguments to a parser.
BENCHMARKS = {
    "select": ("select the highest-scoring examples of every class", _add_select),
    "decode": ("read the ten test clips of a video", _add_decode),
    "score": ("score a dataset, from video files to score shards", _add_score),
    "engines": ("score with plain processes, on Ray and into a bucket", _add_engines),
    "forward": ("run forward passes of a network on clips in memory", _add_forward),
    "train": ("train a network on clips in memory and from files", _add_train),
    "feed": ("read clips and hand them to GPUs, without a network", _add_feed),
    "tags": ("read a tag file into a manifest", _add_spelled_tags),
    "manifest": ("make a manifest of a table of paths and labels, and start processes on it", _add_manifest),
    "scale": ("go from a table of tags to a selection, step by step", _add_scale),
    "files": ("find the files of a folder, whose entries are made up, and write a manifest", _add_made_files),
    "cluster": ("simulate thousands of workers that share a bucket and are killed", _add_cluster),
    "requests": ("count what reading videos and selecting ask of a bucket", _add_requests),
    "duplicates": ("find duplicates among made hashes, of a test set or of one another", _add_duplicates),
}
