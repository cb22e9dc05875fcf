"""`ddp_job.py` with a virtual GPU for each process, and gloo in place of NCCL."""

import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist

from tests.helpers import ddp_job
from tests.helpers.virtual_cuda import virtual_cuda
from vidsemi.config import Runtime
from vidsemi.runtime.distributed import process_group, processes

init_process_group = dist.init_process_group


def with_gloo(backend: str, **settings: Any) -> None:
    """`init_process_group`, which vidsemi asks for NCCL on GPUs."""
    assert backend == "cpu:gloo,cuda:nccl", backend
    init_process_group("gloo", **settings)


if __name__ == "__main__":
    dist.init_process_group = with_gloo
    ddp_job.RUNTIME = Runtime(device="auto", workers=0, checkpoint_steps=2, channels_last=False)
    with virtual_cuda(gpus=2) as gpu, process_group():
        ddp_job.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
        assert gpu.current == processes().rank
