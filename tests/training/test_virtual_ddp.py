"""DDP on two virtual GPUs: the weights of one process on a CPU, and an exact resume."""

from pathlib import Path

import pytest
import torch

from tests.helpers import warm
from tests.training.test_ddp import assert_close, run_job

JOB = "tests.helpers.virtual_ddp_job"
NAME = "own, 2 micro-batches"


@pytest.mark.slow
def test_two_virtual_gpus_train_stop_and_resume_like_one_cpu(shapes: Path, tmp_path: Path):
    run_job(shapes / "labeled.csv", tmp_path / "cpu", [NAME], 1)
    names = [NAME, "stopped", "stopped"]
    for done in warm.launch(2, "-m", JOB, shapes / "labeled.csv", tmp_path / "gpus", *names, OMP_NUM_THREADS="1"):
        assert done.returncode == 0, done.stderr
    cpu, straight, resumed = (
        torch.load(tmp_path / folder / "end.pt", weights_only=True)["states"][0]
        for folder in (Path("cpu", NAME), Path("gpus", NAME), Path("gpus", "stopped"))
    )
    assert_close(straight, cpu)
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)
