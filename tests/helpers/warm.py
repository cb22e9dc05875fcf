"""Python commands in processes that have imported everything already: a server forks them.

Such a process is one of its own in all else: arguments, environment, signals, exit status. It starts and ends in half a
second of a core, where importing torch and using a first network take 6 s. Tests of the start itself use `subprocess`.
"""

import atexit
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent.parent

IMPORTED = [
    *("torch", "torch._dynamo", "torch.distributed", "torch.fx.experimental.optimization", "torch.utils.tensorboard"),
    *("av", "filelock", "fvcore.nn", "iopath.common.file_io", "jinja2", "matplotlib.pyplot", "numba", "pandas"),
    *("psutil", "pyarrow.parquet", "torchvision", "vidsemi.cli.main", "vidsemi.cli.run", "vidsemi.inference.evaluate"),
    *("vidsemi.inference.score", "vidsemi.models.zoo.torchvision", "vidsemi.pipeline.run", "vidsemi.reporting.write"),
    *("vidsemi.training.train", "yaml"),
]
Result = subprocess.CompletedProcess[str]


class Command:
    """`python WORDS` that runs: with `pid`, `poll` and `wait` of a `subprocess.Popen`.

    Words are `-m MODULE …` or `SCRIPT …`. Standard output and error are appended to files.
    """

    def __init__(
        self,
        *words: object,
        stdout: Path = Path(os.devnull),
        stderr: Path = Path(os.devnull),
        cwd: Path = REPOSITORY,
        session: bool = False,
        **environment: str,
    ):
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_server())
        job = {
            "words": [*map(str, words)],
            "files": [str(stdout.resolve()), str(stderr.resolve())],
            "cwd": str(cwd),
            "environment": {**os.environ, **environment},
            "session": session,
        }
        self._connection.sendall(json.dumps(job).encode() + b"\n")
        self._answers = self._connection.makefile()
        self.pid = int(self._answers.readline())

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal; a TimeoutError after so many seconds."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} has not ended in {timeout} s")
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        with suppress(TimeoutError):
            return self.wait(0)
        return None


def run(*words: object, **options: Any) -> Result:
    """Run `python WORDS` to its end; options are those of `Command`."""
    return _finished([words], [{}], options)[0]


def launch(processes: int, *words: object, serve_store: bool = False, **options: Any) -> list[Result]:
    """Run `python WORDS` in several processes that know of each other, as a cluster's launcher starts them.

    Args:
        serve_store: serve their store from this process, as torchrun does, and not from the first of them.
    """
    if processes == 1:
        return [run(*words, **options)]
    if serve_store:
        from torch.distributed import TCPStore

        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # until this function returns
        shared = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    else:
        with socket.create_server(("127.0.0.1", 0)) as free:
            shared = {"MASTER_PORT": str(free.getsockname()[1])}
    shared["MASTER_ADDR"] = "127.0.0.1"
    shared |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    ranks = [shared | dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)) for rank in range(processes)]
    return _finished([words] * processes, ranks, options)


def _finished(
    commands: list[tuple[object, ...]], environments: list[dict[str, str]], options: dict[str, Any]
) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        outputs = [(Path(folder, f"out{number}"), Path(folder, f"err{number}")) for number in range(len(commands))]
        running = [
            Command(*words, stdout=stdout, stderr=stderr, **options, **environment)
            for words, environment, (stdout, stderr) in zip(commands, environments, outputs, strict=True)
        ]
        return [
            subprocess.CompletedProcess([*words], command.wait(), *(file.read_text() for file in files))
            for words, command, files in zip(commands, running, outputs, strict=True)
        ]


@cache
def _server() -> str:
    """The address of this process's server."""
    folder = tempfile.mkdtemp(prefix="warm-", dir="/tmp")
    atexit.register(shutil.rmtree, folder)
    address = str(Path(folder) / "socket")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "tests.helpers.warm", address]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=REPOSITORY, start_new_session=True
    )
    assert server.stdin and server.stdout
    atexit.register(server.communicate)  # which closes its standard input
    assert server.stdout.readline() == b"ready\n"
    return address


def serve(address: str) -> dict[str, Any]:
    """Fork for each connection until standard input ends; returns the job in each fork."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    waiting: set[int] = set()
    while True:
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            os._exit(0)
        connection, _ = listener.accept()
        waiting -= {pid for pid in waiting if os.waitpid(pid, os.WNOHANG)[0]}
        if parent := os.fork():
            waiting.add(parent)
            connection.close()
            continue
        listener.close()
        job = json.loads(connection.makefile().readline())
        if pid := os.fork():  # the parent of the command
            connection.sendall(f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        connection.close()
        return job


def execute(job: dict[str, Any]) -> None:
    """Become the process of a job."""
    import torch

    if job["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell may have started the tests without
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(job["files"], start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    words = job["words"]
    sys.path[1:1] = filter(None, job["environment"].get("PYTHONPATH", "").split(os.pathsep))
    sys.orig_argv = [sys.executable, *words]
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = job["cwd"]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")


def warm_up() -> None:
    """Import what a run needs, and use what imports more at its first use."""
    sys.modules["triton"] = None  # it is for GPUs, and reports frozen objects as leaks
    for name in IMPORTED:
        import_module(name)
    from tests.helpers.builders import spec_for
    from vidsemi.data.dedup.equal_keys import DistinctKeys
    from vidsemi.models.build import check_network

    check_network(spec_for("r2plus1d_10", 2, frames=4, width=0.0625))
    DistinctKeys(2).add(np.zeros((1, 2), np.uint64), np.zeros(1, np.int64))  # numba
    gc.collect()
    gc.freeze()  # else each process frees all of it at its end, which takes 1.4 s of a core


if __name__ == "__main__":
    warm_up()
    execute(serve(sys.argv[1]))
