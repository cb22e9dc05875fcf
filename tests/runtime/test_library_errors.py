"""Errors of other libraries are recognized by their wording: each is provoked here with the installed version."""

import csv
import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributed import TCPStore
from torch.utils.data import DataLoader, Dataset

from tests.helpers import warm
from vidsemi.runtime.library_errors import (
    first_line,
    is_dead_loader_worker,
    is_device_error,
    is_field_too_long,
    is_lost_peer,
    is_out_of_memory,
    is_refused_format,
    is_torchscript,
    is_truncated_image,
    needs_tensor_values,
    unpicklable_global,
)

HUGE = 1 << 50
LOST_PEER = """
import os, sys
import torch
import torch.distributed as dist
from vidsemi.runtime.library_errors import is_lost_peer

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
dist.all_reduce(torch.zeros(1))
if rank:
    os._exit(0)
try:
    for _ in range(100):
        dist.all_reduce(torch.zeros(1))
except RuntimeError as error:
    print(is_lost_peer(error), error, flush=True)
    os._exit(0)  # else a thread of gloo may abort the interpreter while it ends
"""


def error_of(function: Callable[..., object], *arguments: Any, **settings: Any) -> Exception:
    """The error that a call raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(*arguments, **settings)
        except Exception as error:
            return error
    raise AssertionError("the call raised no error")


def test_first_line_of_a_message_or_the_type_if_there_is_none():
    assert first_line(RuntimeError("\n one\ntwo")) == "one"
    assert first_line(MemoryError()) == "MemoryError"


@pytest.mark.parametrize("allocate", [lambda: torch.empty(HUGE), lambda: np.empty(HUGE)], ids=["torch", "numpy"])
def test_out_of_memory(allocate: Callable[[], object]):
    assert is_out_of_memory(error_of(allocate))


@pytest.mark.parametrize(
    "error",
    [  # not to be had on a CPU
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_on_a_gpu(error: Exception):
    assert is_out_of_memory(error)


@pytest.mark.gpu
def test_out_of_memory_provoked_on_a_gpu():
    assert is_out_of_memory(error_of(torch.empty, HUGE, device="cuda"))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: an illegal memory access was encountered",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error",
    ],
)
def test_errors_of_a_gpu(words: str):
    assert is_device_error(RuntimeError(words))
    assert is_device_error(torch.AcceleratorError("the launch timed out and was terminated"))
    assert not is_device_error(ValueError(words))
    assert not is_device_error(RuntimeError("shapes do not match"))


@pytest.mark.gpu
def test_errors_provoked_on_a_gpu():
    # In a process of its own: no kernel runs after such an error.
    code = (
        "import torch\nfrom vidsemi.runtime.library_errors import is_device_error\n"
        "try:\n    torch.zeros(2, device='cuda')[torch.tensor([9], device='cuda')].cpu()\n"
        "except RuntimeError as error:\n    print(is_device_error(error))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"


def test_other_errors_of_torch_are_not_out_of_memory():
    error = error_of(torch.matmul, torch.ones(2, 3), torch.ones(2, 3))
    assert isinstance(error, RuntimeError)
    assert not is_out_of_memory(error)
    assert not is_lost_peer(error)
    assert not is_dead_loader_worker(error)


@pytest.mark.slow
def test_lost_peer_of_gloo(tmp_path: Path):
    (tmp_path / "peer.py").write_text(LOST_PEER)
    peers = [
        warm.Command(tmp_path / "peer.py", rank, tmp_path / "rendezvous", stdout=tmp_path / f"said{rank}")
        for rank in (0, 1)
    ]
    assert [peer.wait() for peer in peers] == [0, 0]
    assert (tmp_path / "said0").read_text().startswith("True ")


def test_lost_server_of_the_store():
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store = TCPStore("127.0.0.1", server.port, is_master=False, wait_for_workers=False)
    del server
    assert is_lost_peer(error_of(store.check, ["key"]))
    assert is_lost_peer(error_of(store.set, "key", "value"))


class Killed(Dataset):
    """Its worker is killed when it reads."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(Killed):
    """Its worker raises an error of its own."""

    def __getitem__(self, index: int) -> None:
        raise RuntimeError("a fault of ours")


def test_dead_loader_worker_of_torch():
    assert is_dead_loader_worker(error_of(list, DataLoader(Killed(), num_workers=1)))
    assert not is_dead_loader_worker(error_of(list, DataLoader(Failing(), num_workers=1)))


@pytest.mark.slow  # torch imports its decompositions
def test_networks_that_need_values_fail_on_the_meta_device():
    assert needs_tensor_values(error_of(torch.ones(2, device="meta").tolist))
    assert needs_tensor_values(error_of(bool, torch.ones(1, device="meta").sum() > 0))
    assert not needs_tensor_values(error_of(torch.matmul, torch.ones(2, 3), torch.ones(2, 3)))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_files_that_torch_refuses_to_load(tmp_path: Path):
    class Foreign:
        def __reduce__(self) -> tuple:
            return Path, ("x",)

    torch.save({"value": Foreign()}, tmp_path / "foreign.pt")
    error = error_of(torch.load, tmp_path / "foreign.pt", weights_only=True)
    assert isinstance(error, pickle.UnpicklingError)
    assert (unpicklable_global(error) or "").startswith("pathlib.")

    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "script.pt")
    error = error_of(torch.load, tmp_path / "script.pt", weights_only=True)
    assert is_torchscript(error)
    assert unpicklable_global(error) is None

    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.add(tmp_path / "script.pt", "storages")
    assert is_refused_format(error_of(torch.load, tmp_path / "old.pt", weights_only=True))


def test_csv_fields_that_are_too_long():
    endless = '"' + "x" * (csv.field_size_limit() + 1)
    assert is_field_too_long(error_of(list, csv.reader([endless], strict=True)))
    assert not is_field_too_long(error_of(list, csv.reader(['"a"b'], strict=True)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_truncated_images(kind: str):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, kind)
    half = whole.getvalue()[: len(whole.getvalue()) // 2]
    error = error_of(lambda: Image.open(io.BytesIO(half)).load())
    assert is_truncated_image(error) == (kind != "WEBP")  # libwebp says nothing of it
