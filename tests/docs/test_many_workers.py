"""The guides on many workers: their promises have tests, and their examples for schedulers are well-formed."""

import inspect
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import vidsemi
from tests.conftest import REPOSITORY
from vidsemi.cli.main import build_parser, parse
from vidsemi.runtime.distributed import is_first, local_rank, started_processes

GUIDE = (REPOSITORY / "docs/guides/multi-gpu-slurm.md").read_text(encoding="utf-8")


def test_every_promise_names_its_tests():
    page = (REPOSITORY / "docs/guides/scoring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*`test_.*\|$", page, re.MULTILINE)
    assert len(rows) >= 15
    sources = "\n".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", "\n".join(rows)):
        assert f"def {name}(" in sources, name


def test_the_kubernetes_job_is_an_indexed_job_that_scores():
    (block,) = re.findall(r"^    apiVersion:.*?\n\n", GUIDE, re.DOTALL | re.MULTILINE)
    job = yaml.safe_load(block)
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed") and spec["completions"] == spec["parallelism"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # which podFailurePolicy needs
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
    options = parse(build_parser(), container["command"][1:])
    assert str(options.output) == "s3://bucket/scores"


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        {"SLURM_PROCID": "9", "SLURM_NTASKS": "16", "SLURM_LOCALID": "1"},
        {"JOB_COMPLETION_INDEX": "3"},
    ],
)
def test_a_scheduled_worker_is_alone_and_uses_its_own_gpu(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert started_processes() == 1 and is_first()
    assert local_rank() == int(variables.get("SLURM_LOCALID", "0"))


def test_the_submitit_example_submits_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (code,) = re.findall(r"^```python\n(import submitit.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    calls: list[inspect.BoundArguments] = []

    class Executor:  # with the names of submitit 1.5's
        def __init__(self, folder: str):
            pass

        def update_parameters(self, **parameters: Any) -> None:
            assert parameters["slurm_array_parallelism"] == 16

        def batch(self) -> Any:
            return open(tmp_path / "batch", "w")

        def submit(self, function: Any, *arguments: Any) -> Any:
            assert function is vidsemi.score
            calls.append(inspect.signature(function).bind(*arguments))
            return type("Job", (), {"result": lambda self: "done"})()

    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    sys.modules["submitit"].AutoExecutor = Executor  # type: ignore[attr-defined]
    (tmp_path / "submit.py").write_text(code)
    runpy.run_path(str(tmp_path / "submit.py"))
    assert len(calls) == 16 and calls[0].arguments["output"] == "scores"
    assert capsys.readouterr().out == "done\n"
