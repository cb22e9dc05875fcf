"""Readers stay on the cores near their GPU, where the system tells which these are and there are enough of them."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.virtual_cuda import virtual_cuda
from vidsemi.data.manifest import Row
from vidsemi.data.worker_pool import read_all
from vidsemi.runtime import numa
from vidsemi.runtime.numa import _cores, cores_for_readers
from vidsemi.runtime.priority import Priority

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")

Find = Callable[..., frozenset[int] | None]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Find:
    """What a process finds on a machine of 16 cores whose GPUs have the given lists of near cores."""

    def find(lists: list[str], *, rank: int, here: int, readers: int, allowed: str = "0-15") -> frozenset[int] | None:
        monkeypatch.setattr(numa, "PCI_DEVICES", tmp_path)
        for gpu, cores in enumerate(lists):
            folder = tmp_path / f"0000:{0x3B + gpu:02x}:00.0"
            folder.mkdir(exist_ok=True)
            (folder / "local_cpulist").write_text(f"{cores}\n")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(_cores(allowed)))
        addresses = [SimpleNamespace(pci_domain_id=0, pci_bus_id=0x3B + gpu, pci_device_id=0) for gpu in range(9)]
        with virtual_cuda(gpus=len(lists)):
            monkeypatch.setattr(torch.cuda, "get_device_properties", addresses.__getitem__)
            return cores_for_readers(readers)

    return find


TWO_SOCKETS = ["0-3,8-11"] * 2 + ["4-7,12-15"] * 2


def test_the_readers_of_each_process_stay_on_the_node_of_its_gpu(found: Find):
    first, second = _cores("0-3,8-11"), _cores("4-7,12-15")
    nodes = [found(TWO_SOCKETS, rank=rank, here=4, readers=4) for rank in range(4)]
    assert nodes == [first, first, second, second]


def test_readers_use_the_cores_of_all_nodes_where_those_of_one_are_too_few(found: Find):
    assert found(TWO_SOCKETS, rank=0, here=4, readers=5) is None
    assert found(["0-3,8-11"] * 4, rank=3, here=4, readers=4) is None  # all GPUs are on one socket
    assert found(TWO_SOCKETS, rank=0, here=4, readers=4, allowed="0-5") is None  # by taskset or a container
    assert found(TWO_SOCKETS, rank=0, here=4, readers=2, allowed="0-5") == {0, 1, 2, 3}


def test_readers_are_left_alone_where_there_is_nothing_to_choose(found: Find):
    assert found(TWO_SOCKETS, rank=0, here=1, readers=4) is None  # alone on the machine
    assert found(["0-15"] * 4, rank=1, here=4, readers=4) is None  # a single node
    assert found(["nonsense"] * 4, rank=1, here=4, readers=4) is None


def test_readers_are_left_alone_where_the_system_does_not_say(found: Find, monkeypatch: pytest.MonkeyPatch):
    assert found(TWO_SOCKETS, rank=0, here=4, readers=4)
    monkeypatch.setattr(numa, "PCI_DEVICES", Path("/nowhere"))
    with virtual_cuda(gpus=4):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace())
        assert cores_for_readers(4) is None
    assert cores_for_readers(4) is None  # no GPU is in use


def affinity(row: Row) -> list[int]:
    """Cores of the thread that reads."""
    return sorted(os.sched_getaffinity(0))


def test_a_reading_process_stays_on_its_cores(monkeypatch: pytest.MonkeyPatch):
    one = min(os.sched_getaffinity(0))
    monkeypatch.setattr("vidsemi.runtime.priority.cores_for_readers", lambda readers: frozenset({one}))
    assert Priority().cores == {one}
    with closing(read_all(affinity, [Row(0, "a")], workers=1, seconds=60)) as results:
        assert list(results) == [[one]]
