"""Which Ray cluster a command joins, and how it shows who it is; on a real one: tests/inference/test_score_ray.py."""

import os
import socket
from collections.abc import Iterator

import pytest

from tests.helpers.errors import refused
from vidsemi.runtime import ray_cluster

pytest.importorskip("ray")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where something listens that is not Ray."""
    for name in ray_cluster.AUTHENTICATION:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    with socket.create_server(("", 0)) as server:  # Ray replaces 127.0.0.1 with another address of this machine
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield address


def test_an_address_where_no_cluster_answers_is_refused(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_cluster, "ANSWERS_WITHIN", 0.1)
    with refused("ray.unreachable", "RAY_ADDRESS", address, "no head node"), ray_cluster.ray_cluster():
        pass
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed.getsockname()[1]}")
    with refused("ray.unreachable", "RAY_ADDRESS", "refused"), ray_cluster.ray_cluster():
        pass


@pytest.mark.parametrize("needed", [True, False])
def test_a_token_is_sent_where_one_is_needed(address: str, monkeypatch: pytest.MonkeyPatch, needed: bool):
    mode, other = ("token", "disabled") if needed else ("disabled", "token")

    def answers(where: str, own: str) -> bool:
        assert where == address
        return own == "token" or not needed  # a token that is not needed does not show

    monkeypatch.setattr(ray_cluster, "_answers", answers)
    ray_cluster._agree_on_authentication(address)
    assert os.environ["RAY_AUTH_MODE"] == mode
    monkeypatch.setenv("RAY_AUTH_MODE", other)
    with refused("ray.authentication", f"RAY_AUTH_MODE is {other}", address, mode):
        ray_cluster._agree_on_authentication(address)
    monkeypatch.setattr(ray_cluster, "_answers", lambda where, own: False)
    with refused("ray.authentication", address, "RAY_AUTH_TOKEN"):
        ray_cluster._agree_on_authentication(address)
    ray_cluster._read_environment()


def test_a_head_node_that_stays_away_ends_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ray_cluster.RAY_WAITS, "20")
    now = [0.0]
    monkeypatch.setattr(ray_cluster, "monotonic", lambda: now[0])

    def check(head: ray_cluster.Head, times: int) -> None:
        for _ in range(times):
            now[0] += 1.0
            head.check()

    with socket.create_server(("127.0.0.1", 0)) as server:
        head = ray_cluster.Head(f"127.0.0.1:{server.getsockname()[1]}")
        check(head, 30)
    check(head, 10)
    assert not head.is_lost
    with refused("ray.head_lost", "10 s", "resumes"):
        check(head, 1)
    assert head.is_lost
