"""`tools/bench.py engines`: what Ray and an object store cost, beside plain processes that score into a directory."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.bench.measure import chosen, failure, median, paths_of, rounded, run_in_turn, versions
from tools.bench.score import untrained_weights
from vidsemi.runtime.process import processor, usable_cores

DISK, RAY, BUCKET = "processes, disk", "Ray, disk", "processes, S3"
NAMES = (DISK, RAY, BUCKET)
RATIOS = {"videos_per_second": "speed", "cpu_per_video": "CPU"}  # of a run to that of `DISK` in the same round


def bench_engines(
    files: Sequence[Path],
    *,
    videos: int,
    shard_size: int,
    workers: int,
    rounds: int,
    data: Path,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Score the same videos with as many workers, one thread each.

    Args:
        files: videos, used repeatedly.
        videos: number that a contender scores in a run.
        shard_size: videos a shard.
        workers: processes, or actors.
        rounds: runs of each contender.
        data: folder for the weights of an untrained network, and the manifest.
        only: names of contenders; all if empty.

    Returns:
        A JSON object: the setting, the machine, and for each contender a row of medians.
    """
    names, paths = chosen(NAMES, only), paths_of(files)
    folder = data / "engines"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["path", *(paths[number % len(paths)] for number in range(videos))]) + "\n")
    words = [untrained_weights("R(2+1)D-10, 8 base planes", data), manifest.resolve(), videos, shard_size]
    commands = {name: [name, folder.resolve(), workers, *words] for name in names}
    with _server() if BUCKET in names else _nothing():
        runs = run_in_turn("tools.bench.engines_contenders", commands, rounds=rounds, title="bench engines")
    return {
        "videos": videos,
        "shard_size": shard_size,
        "workers": workers,
        "rounds": rounds,
        "cores": usable_cores(),
        "processor": processor(),
        "versions": versions("torch", "ray", "obstore", "moto", "av"),
        "contenders": [_row(name, runs) for name in names],
    }


def _row(name: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of a contender, and of its ratios to plain processes on disk in the same round."""
    row = {"name": name, "failed": failure(runs[name]), "all": runs[name]}
    for key in (*RATIOS, "first_shard_seconds", "seconds"):
        row[key] = median(runs[name], key)
    for key, of in RATIOS.items():
        pairs = zip(runs[name], runs.get(DISK, []), strict=False)
        ratios = [own[key] / disk[key] for own, disk in pairs if key in own and key in disk]
        row[f"relative_{of}"] = statistics.median(ratios) if ratios else None
    return row


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    header = ("contender", "videos/s", "of disk", "CPU ms/video", "of disk", "first shard after s", "whole job s")
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    rows = [
        (
            row["name"],
            row["failed"] or rounded(row["videos_per_second"], "{:.2f}"),
            rounded(row["relative_speed"], "{:.3f}"),
            rounded(row["cpu_per_video"] and 1000 * row["cpu_per_video"], "{:.2f}"),
            rounded(row["relative_CPU"], "{:.3f}"),
            rounded(row["first_shard_seconds"], "{:.1f}"),
            rounded(row["seconds"], "{:.1f}"),
        )
        for row in document["contenders"]
    ]
    lines = [
        f"{document['videos']} videos in shards of {document['shard_size']}",
        f"workers: {document['workers']}, of one thread each",
        f"medians of {document['rounds']} runs; ratios are those of runs of one round",
        f"{document['cores']} cores of {document['processor']}; {used}",
        "",
    ]
    return "\n".join([*lines, *markdown_table(header, rows)])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _server() -> Iterator[None]:
    """Run an S3 server (moto) on this machine, with a bucket; the environment tells where it is."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ.update(
        AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1", AWS_ENDPOINT_URL=url
    )
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket="bucket")
        yield
    finally:
        server.kill()
        server.wait()
