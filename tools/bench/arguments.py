"""What `tools/bench.py` takes for each part of vidsemi that it times."""

import argparse
from pathlib import Path


def _add_select(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=80e6, help="score rows (80e6)")
    bench.add_argument("--classes", type=int, default=400)
    bench.add_argument("--per-class", type=int, default=4000, metavar="K", help="examples a class takes (4000)")
    bench.add_argument("--per-example", type=int, default=4, metavar="P", help="rows an example (4)")
    bench.add_argument("--shard-size", type=int, default=250_000, help="examples a part (250000)")
    bench.add_argument("--generate", action="store_true", help="feed vidsemi alone from memory; writes nothing")
    _add_contenders(bench)
    _add_data(bench)


def _add_decode(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--repeats", type=int, default=10, help="times that a run reads all files (10)")
    _add_contenders(bench)
    _add_data(bench)


def _add_score(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    bench.add_argument("--videos", type=int, default=300, help="scored in a run, a tenth by the large network (300)")
    bench.add_argument("--model", choices=["r2plus1d_10", "r2plus1d_18"], help="this network only")
    _add_contenders(bench)
    _add_data(bench)


def _add_forward(bench: argparse.ArgumentParser) -> None:
    _add_clips(bench)
    bench.add_argument("--clips", type=int, metavar="N", help="clips in a pass; default: as many as scoring takes")
    _add_contenders(bench)


def _add_train(bench: argparse.ArgumentParser) -> None:
    _add_files(bench)
    _add_clips(bench)
    bench.add_argument("--batch", type=int, metavar="N", help="clips a step in memory; default: 8 on a CPU, else 24")
    bench.add_argument(
        "--videos", type=int, default=400, help="clips a run takes from files, a tenth for the large network (400)"
    )
    bench.add_argument(
        "--model", choices=["r2plus1d_10", "r2plus1d_18"], default="r2plus1d_10", help="fed from files (r2plus1d_10)"
    )
    _add_contenders(bench)
    _add_data(bench)


def _add_tags(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rows", type=float, default=1e6, help="examples of the file (1e6)")
    _add_contenders(bench)
    _add_data(bench)


def _add_files(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("files", nargs="*", type=Path, metavar="FILE", help="videos; default: those of moving_shapes")


def _add_clips(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--frames", type=int, default=8, metavar="T", help="clip length (8)")
    bench.add_argument("--size", type=int, default=112, metavar="S", help="side of the clips (112)")
    bench.add_argument("--device", default="auto")


def _add_contenders(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--rounds", type=int, default=3, help="runs of each contender (3)")
    bench.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these contenders only")


def _add_data(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--data", type=Path, default=Path("data/bench"), help="where files are made (data/bench)")


# By name: what it times, and what adds its arguments to a parser.
BENCHMARKS = {
    "select": ("the choice of the best rows of every class", _add_select),
    "decode": ("the reading of a video's ten test clips", _add_decode),
    "score": ("the scoring of a corpus, from files to parts", _add_score),
    "forward": ("the passes of a network, clips in memory", _add_forward),
    "train": ("the training of a network, from memory and from files", _add_train),
    "tags": ("the reading of a tag file into a manifest", _add_tags),
}
