"""A process of several that is alone: it says whom it waits for, obeys signals, and gives up."""

import os
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from tests.helpers import warm
from tests.helpers.errors import refused
from vidsemi.runtime import meeting
from vidsemi.runtime.distributed import process_group

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from vidsemi.runtime import meeting
meeting.NAMED_AFTER, meeting.LIMIT = 0.0, float(sys.argv[1])
from vidsemi.cli import main
sys.exit(main.main(["evaluate", "--weights", "w.pt", "--manifest", "m.csv"]))
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def start(rank: int, port: int, limit: float, folder: Path) -> warm.Command:
    """One process of two; its standard error is a pipe of the file system."""
    (folder / "lone.py").write_text(SCRIPT)
    os.mkfifo(folder / "stderr")
    job = {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return warm.Command(folder / "lone.py", limit, stderr=folder / "stderr", cwd=folder, **job)


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "number", "status"), [(0, signal.SIGINT, 130), (1, signal.SIGTERM, 143)])
def test_a_lone_process_says_whom_it_waits_for_and_obeys_signals(
    tmp_path: Path, port: int, rank: int, number: signal.Signals, status: int
):
    process = start(rank, port, 600, tmp_path)
    with open(tmp_path / "stderr") as stderr:
        line = stderr.readline()
        assert f"rank {rank} of 2" in line and f"rank {1 - rank} " in line
        assert f"127.0.0.1:{port}" in line and "WORLD_SIZE" in line and "600 s" in line
        begin = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == status
        assert time.monotonic() - begin < 30
        assert "Traceback" not in stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lone_process_gives_up(tmp_path: Path, port: int, rank: int):
    process = start(rank, port, 0.1, tmp_path)
    stderr = (tmp_path / "stderr").read_text()
    assert process.wait(timeout=60) == 2
    assert f"rank {1 - rank} " in stderr.splitlines()[-1] and stderr.endswith("[distributed.missing_processes]\n")
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("environment", "mentioned"),
    [
        ({}, ("WORLD_SIZE is 2", "RANK and MASTER_ADDR and MASTER_PORT")),
        ({"RANK": "0", "MASTER_ADDR": "127.0.0.1"}, ("MASTER_PORT",)),
        ({"RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}, ("RANK=2", "WORLD_SIZE=2")),
        ({"RANK": "x", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}, ("RANK=x",)),
        ({"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999"}, ("MASTER_PORT=99999",)),
    ],
)
def test_an_incomplete_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], mentioned: tuple[str, ...]
):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    with refused("distributed.incomplete_environment", *mentioned, "torchrun"), process_group():
        pass


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
            monkeypatch.setenv(name, value)
        with refused("distributed.no_connection", port, "MASTER_PORT"), process_group():
            pass


def listens(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex((host, port)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no 127.0.0.2")
def test_the_store_listens_at_the_address_of_the_job_alone(port: int):
    listening = meeting._listen("127.0.0.1", port, 0, 2)
    assert listening is not None
    store = dist.TCPStore(
        "127.0.0.1", port, 2, True, timedelta(seconds=10), wait_for_workers=False, master_listen_fd=listening
    )
    store.set("a", "b")
    assert dist.TCPStore("127.0.0.1", port, 2, False, timedelta(seconds=10), wait_for_workers=False).get("a") == b"b"
    assert listens("127.0.0.1", port)
    assert not listens("127.0.0.2", port)


def test_an_address_of_another_machine_is_left_to_torch(port: int, caplog: pytest.LogCaptureFixture):
    assert meeting._listen("192.0.2.1", port, 0, 2) is None
    assert "192.0.2.1" in caplog.text
