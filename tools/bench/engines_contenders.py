"""`python -m tools.bench.engines_contenders NAME FOLDER WORKERS WEIGHTS MANIFEST VIDEOS SHARD_SIZE`: score once.

The rate is that between two shards: after the first ones, when all workers are at work, and before the last ones, when
the first worker has nothing to do any more. What comes before is told apart. CPU seconds are those of the command with
all its descendants, for Ray also of its own processes; not those of the S3 server, which elsewhere is another machine.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tools.bench.engines import BUCKET, RAY
from vidsemi.io.store import open_store, parse_place, shard_numbers

LOOK_EVERY = 0.1  # seconds


def main(name: str, folder: str, workers: int, weights: str, manifest: str, videos: int, shard_size: int) -> None:
    """Score with one contender, and print what was measured."""
    shards = -(-videos // shard_size)
    output = f"s3://bucket/scores-{time.time_ns()}" if name == BUCKET else str(Path(folder, "scores"))
    shutil.rmtree(Path(folder, "scores"), ignore_errors=True)
    command = [sys.executable, "-m", "vidsemi", "score", "--weights", weights, "--manifest", manifest]
    command += ["--output", output, "--shard-size", str(shard_size), "--precision", "float32"]
    command += ["--workers", "0", "--device", "cpu"]
    if name == RAY:
        command += ["--engine", "ray", "--actors", str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    store = open_store(parse_place(output))
    begin = time.perf_counter()
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(1 if name == RAY else workers)
    ]
    moments: dict[int, tuple[float, float]] = {}
    while any(process.poll() is None for process in running):
        done = len(shard_numbers(store.names()))
        if done and done not in moments:
            moments[done] = time.perf_counter() - begin, cpu_seconds(running)
        time.sleep(LOOK_EVERY)
    seconds = time.perf_counter() - begin
    if any(process.returncode for process in running):
        raise SystemExit("RuntimeError: scoring failed")
    first = min(done for done in moments if done >= 2 * workers)
    last = max(done for done in moments if done <= shards - workers)
    (started, cpu_before), (ended, cpu_after) = moments[first], moments[last]
    scored = (last - first) * shard_size
    figures = {
        "videos_per_second": scored / (ended - started),
        "cpu_per_video": (cpu_after - cpu_before) / scored,
        "first_shard_seconds": moments[min(moments)][0],
        "seconds": seconds,
        "measured": scored,
    }
    print(json.dumps(figures))


def cpu_seconds(roots: list[subprocess.Popen[bytes]]) -> float:
    """CPU seconds of processes and their living descendants."""
    total = 0.0
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            one = psutil.Process(root.pid)
            for process in (one, *one.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system
    return total


if __name__ == "__main__":
    name, folder, workers, weights, manifest, videos, shard_size = sys.argv[1:]
    main(name, folder, int(workers), weights, manifest, int(videos), int(shard_size))
