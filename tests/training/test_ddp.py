"""DDP: several processes end with the weights of one process with as many micro-batches."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import warm
from tests.helpers.ddp_job import JOBS

JOB = warm.REPOSITORY / "tests" / "helpers" / "ddp_job.py"
pytestmark = pytest.mark.slow
DIFFERENT = {"own", "synchronized", "precise, synchronized", "precise, whole"}  # by one process and by two


def run_job(data: Path, output: Path, names: list[str], processes: int) -> None:
    """Do some of the jobs; one thread a process as torchrun has it, else sums are rounded in other ways."""
    for done in warm.launch(processes, JOB, data, output, *names, OMP_NUM_THREADS="1"):
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def ends(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """The end of each training run, by one process and by two."""
    found = {}
    for processes in (1, 2):
        output = tmp_path_factory.mktemp(f"by{processes}")
        run_job(shapes / "labeled.csv", output, [*JOBS, "stopped"], processes)
        found[processes] = {name: torch.load(output / name / "end.pt", weights_only=True) for name in JOBS}
    return found


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 2e-5) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        if value.is_floating_point():
            assert torch.allclose(value, b[name], rtol=1e-3, atol=atol), (name, (value - b[name]).abs().max())


@pytest.mark.parametrize("name", sorted({*JOBS} - DIFFERENT))
def test_two_processes_equal_one_with_as_many_micro_batches(ends: dict[int, dict[str, Any]], name: str):
    one, two = ends[1][name], ends[2][name]
    assert_close(one["states"][0], two["states"][0])
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)


def test_without_batch_norm_micro_batches_and_processes_change_nothing(ends: dict[int, dict[str, Any]]):
    assert_close(ends[1]["without"]["states"][0], ends[2]["without, 4 micro-batches"]["states"][0])


def test_synchronized_batch_norm_is_that_of_the_whole_batch(ends: dict[int, dict[str, Any]]):
    """A single process whose batch is not cut has nothing to synchronize: it is the reference."""
    whole = ends[1]["own"]["states"][0]
    assert_close(ends[1]["synchronized"]["states"][0], whole)
    assert_close(ends[2]["synchronized"]["states"][0], whole)
    precise = ends[1]["precise, whole"]["states"][0]
    assert not torch.allclose(precise["stem.1.running_mean"], whole["stem.1.running_mean"])
    recalibrated = ends[2]["precise, synchronized"]["states"][0]
    for key in ("fc.weight", "stem.1.running_mean"):
        assert torch.allclose(recalibrated[key], precise[key], atol=2e-5), key


def test_synchronized_batch_norm_weights_processes_by_their_number_of_clips(
    shapes: Path, tmp_path: Path, ends: dict[int, dict[str, Any]]
):
    """Three of them get 2, 3 and 3 of 8 clips."""
    run_job(shapes / "labeled.csv", tmp_path, ["synchronized"], 3)
    end = torch.load(tmp_path / "synchronized" / "end.pt", weights_only=True)
    assert_close(end["states"][0], ends[1]["own"]["states"][0], atol=1e-4)


def test_batch_norm_is_not_synchronized_by_default(ends: dict[int, dict[str, Any]]):
    assert_close(ends[2]["own"]["states"][0], ends[1]["own, 2 micro-batches"]["states"][0])
    weights = [ends[count]["own"]["states"][0]["fc.weight"] for count in (1, 2)]
    assert not torch.allclose(*weights, rtol=1e-3, atol=2e-5)


def test_processes_agree_to_the_bit(ends: dict[int, dict[str, Any]]):
    for name, end in ends[2].items():
        first, second = end["states"]
        assert all(torch.equal(first[key], second[key]) for key in first if "num_batches" not in key), name


def test_two_processes_resume_exactly(ends: dict[int, dict[str, Any]]):
    for processes in (1, 2):
        stopped, straight = (ends[processes][name]["states"][0] for name in ("stopped", "own, 2 micro-batches"))
        assert all(torch.equal(stopped[key], straight[key]) for key in stopped)


def test_two_processes_resume_the_run_of_one_and_three_do_not(
    shapes: Path, tmp_path: Path, ends: dict[int, dict[str, Any]]
):
    """The number of processes must divide that of the checkpoint's micro-batches."""
    run_job(shapes / "labeled.csv", tmp_path, ["stopped"], 1)
    assert not (tmp_path / "stopped" / "end.pt").exists()
    with pytest.raises(AssertionError, match="2 micro-batches a step, which 3 processes"):
        run_job(shapes / "labeled.csv", tmp_path, ["stopped"], 3)
    run_job(shapes / "labeled.csv", tmp_path, ["stopped"], 2)
    end = torch.load(tmp_path / "stopped" / "end.pt", weights_only=True)
    assert_close(end["states"][0], ends[1]["own, 2 micro-batches"]["states"][0])
