"""DDP on two virtual GPUs: the weights of one process on a CPU, and an exact resume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.training.test_ddp import assert_close, run_job

JOB = "tests.helpers.virtual_ddp_job"
NAME = "own, 2 micro-batches"


@pytest.mark.slow
def test_two_virtual_gpus_train_stop_and_resume_like_one_cpu(shapes: Path, tmp_path: Path):
    run_job(shapes / "labeled.csv", tmp_path / "cpu", [NAME], 1)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", JOB]
    command = [sys.executable, *launch, str(shapes / "labeled.csv"), str(tmp_path / "gpus"), NAME, "stopped", "stopped"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.returncode == 0, done.stderr
    cpu, straight, resumed = (
        torch.load(tmp_path / folder / "end.pt", weights_only=True)["states"][0]
        for folder in (Path("cpu", NAME), Path("gpus", NAME), Path("gpus", "stopped"))
    )
    assert_close(straight, cpu)
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)
