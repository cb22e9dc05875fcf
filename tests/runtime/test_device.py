"""The choice of the device: it computes, it is the current one, and what keeps a GPU from being used is said."""

import logging

import pytest
import torch

from tests.helpers.virtual_cuda import virtual_cuda
from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.runtime import device as devices
from vidsemi.runtime.device import pick_device, to_cpu


def test_each_process_has_its_own_gpu_and_it_is_the_current_one(monkeypatch: pytest.MonkeyPatch):
    with virtual_cuda(gpus=2):
        for rank, name in ((0, "cuda:0"), (1, "cuda:1"), (2, "cuda:0")):
            monkeypatch.setenv("LOCAL_RANK", str(rank))
            assert pick_device(Runtime()) == torch.device(name)
            assert torch.device("cuda", torch.cuda.current_device()) == torch.device(name)
        with pytest.raises(UserError) as error:
            pick_device(Runtime(device="cuda:7"))
    assert error.value.code == "device.unavailable" and "cuda:7" in str(error.value)


@pytest.mark.parametrize(("processes", "device"), [(3, "auto"), (2, "cuda:0")])
def test_connected_processes_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch, processes: int, device: str):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, str(processes))
    with virtual_cuda(gpus=2), pytest.raises(UserError) as error:
        pick_device(Runtime(device=device))
    assert error.value.code == "device.shared_gpu"
    assert all(words in str(error.value) for words in (f"{processes} processes", "2 GPUs", device))


def test_two_processes_may_have_two_gpus(monkeypatch: pytest.MonkeyPatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with virtual_cuda(gpus=2):
        assert pick_device(Runtime()) == torch.device("cuda:0")


def test_a_gpu_without_kernels_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As torch's wheels have none for a V100: tensors can be made there, but nothing computed."""

    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore words")

    with virtual_cuda():
        monkeypatch.setattr(torch.Tensor, "add_", fails)
        with pytest.raises(UserError) as error:
            pick_device(Runtime())
    assert error.value.code == "device.unavailable" and "no kernel image" in str(error.value)


def test_a_gpu_that_torch_cannot_use_is_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def fails() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nmore words")

    monkeypatch.setattr(torch.cuda, "init", fails)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices.Path, "exists", lambda file: str(file) == "/dev/nvidia0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    caplog.set_level(logging.WARNING)
    assert pick_device(Runtime()) == torch.device("cpu")
    assert len(caplog.records) == 1 and "driver on your system is too old" in caplog.text
    caplog.clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the user hides it
    assert pick_device(Runtime()) == pick_device(Runtime(device="cpu"))
    assert not caplog.records


def test_a_state_comes_to_the_cpu_with_its_types():
    network = torch.nn.BatchNorm1d(2)
    with virtual_cuda():
        state = {"network": network.to("cuda:0").state_dict(), "losses": [1.0], "name": None}
        copied = to_cpu(state)
        assert {str(tensor.device) for tensor in copied["network"].values()} == {"cpu"}
        assert {str(tensor.device) for tensor in state["network"].values()} == {"cuda:0"}
    assert type(copied["network"]) is type(state["network"])
    assert copied["network"]._metadata == state["network"]._metadata
    assert (copied["losses"], copied["name"]) == ([1.0], None)
