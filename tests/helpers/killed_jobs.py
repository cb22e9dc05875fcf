"""A job of workers that share one manifest and are killed again and again: `python killed_jobs.py JSON`.

Everything is imported once, and used once: the first network of a process takes 2 s more than the next. Workers are
forked, so that one starts in milliseconds. Prints how many were killed.
"""

import json
import os
import random
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from threading import RLock, Timer

import torch
from tqdm import tqdm

from vidsemi.config import Runtime
from vidsemi.data import verify_job, views
from vidsemi.data.dedup import hash_job
from vidsemi.data.dedup.exclude import exclude_duplicates
from vidsemi.data.manifest import load_manifest
from vidsemi.data.verify_job import verify_files
from vidsemi.inference.score import score_manifest
from vidsemi.io.object_store import ObjectStore
from vidsemi.io.store import LocalStore, open_store, parse_place
from vidsemi.runtime import leases

# tqdm's own lock is one of all forked processes: one that is killed while it has it would stop the others for good.
tqdm.set_lock(RLock())
tqdm.monitor_interval = 0
EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.scandir", "os.listdir"}


def work(job: dict, fate: str | None, dice: random.Random) -> None:
    """Work, and die as `fate` says: at a random moment, or at a random access to the folder."""
    if fate == "moment":
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.01, 0.5))  # whose default is to end the process
    elif fate == "touch":
        left = dice.randint(1, 25)

        def touched(event: str, args: tuple) -> None:
            nonlocal left
            if event in EVENTS and str(args[0]).startswith(job["folder"]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(touched)
    LocalStore.wait_seconds, ObjectStore.wait_seconds, ObjectStore.rescan_seconds = 0.02, 0.2, 2.0
    if fate == "stop":  # beyond its lease, for a second
        leases.EXPIRY, leases.RENEW_EVERY = 0.3, 0.1
        Timer(dice.uniform(0.02, 0.6), lambda: os.kill(os.getpid(), signal.SIGSTOP)).start()
    if "deadly" in job:
        module, name = READERS[job["kind"]]
        read = getattr(module, name)

        def read_or_die(row, *args, **options):
            if row.path.endswith(job["deadly"]):
                os.kill(os.getpid(), signal.SIGKILL)
            return read(row, *args, **options)

        setattr(module, name, read_or_die)
    else:
        leases.MAX_DEATHS = 1000  # else a worker that is killed every few files would give up on some of them
    KINDS[job["kind"]](job)


def score(job: dict) -> None:
    score_manifest(
        parse_place(job["folder"]),
        weights=Path(job["weights"]),
        manifest=load_manifest(Path(job["manifest"])),
        views=2,
        per_example=3,
        shard_size=job["shard_size"],
        precision="float32",
        runtime=Runtime(device="cpu", workers=0),
        title="score",
        retry_failures=job.get("retry"),
    )


def verify(job: dict) -> None:
    verify_job.ROWS_AT_ONCE = job["shard_size"]
    verify_files(load_manifest(Path(job["manifest"])), Path(job["folder"], "table.csv"), workers=0, seconds=60)


def hash_files(job: dict) -> None:
    """Hash and write a manifest without duplicates."""
    hash_job.SHARD_SIZE = job["shard_size"]
    exclude_duplicates(
        load_manifest(Path(job["manifest"])),
        Path(job["output"], "clean.csv"),
        tests=[],
        max_distance_test=6,
        max_distance=2,
        workers=0,
        seconds=60,
        hashes=parse_place(job["folder"]),
    )


KINDS = {"score": score, "verify": verify, "hash": hash_files}
READERS = {"score": (views, "read_frames"), "verify": (verify_job, "describe"), "hash": (hash_job, "hash_file")}


def start(job: dict, fate: str | None, dice: random.Random) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(job, fate, dice)
    except BaseException as error:
        traceback.print_exception(error, file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


def lose_a_shard(job: dict, dice: random.Random) -> None:
    """In a process of its own, since no process may be forked once it has used an object store."""
    if not (pid := os.fork()):
        store = open_store(parse_place(job["folder"]))
        if shards := [name for name in sorted(store.names()) if name.startswith("part-")]:
            store.remove(dice.choice(shards))
        os._exit(0)
    os.waitpid(pid, 0)


def main(job: dict) -> None:
    dice = random.Random(job["seed"])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        KINDS[job["kind"]]({**job, "folder": folder, "output": folder, "retry": None})
    killed = done = 0
    running = set()
    while done < job["workers"]:
        while len(running) < job["workers"] - done:
            fate = job.get("fate") if killed < job["kills"] else None
            running.add(start(job, fate, random.Random(dice.random())))
        pid, status = os.waitpid(-1, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            killed += 1
            Timer(1.0, os.kill, (pid, signal.SIGCONT)).start()
            continue
        running.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit(f"a worker failed with {os.WEXITSTATUS(status)}")
        elif killed < job["kills"]:  # finished too early to be killed often enough: lose a shard and resume
            lose_a_shard(job, random.Random(dice.random()))
        else:
            done += 1
    print(json.dumps({"killed": killed}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
