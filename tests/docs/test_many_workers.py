"""The guides on many workers: their promises have tests, and their examples for schedulers are well-formed."""

import inspect
import os
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import vidsemi
from tests.conftest import REPOSITORY
from tests.helpers.builders import paths_of
from tests.helpers.s3_server import s3_server
from tests.inference.test_score_workers import content
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


SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""
VIDSEMI = f"""#!/bin/bash
exec {sys.executable} -m vidsemi "$@" --shard-size 4 --views 2 --precision float32 --device cpu --workers 0
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_tasks_of_an_array_and_pods_of_a_job_leave_what_one_worker_leaves(
    tmp_path: Path, untrained_weights: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
):
    """The guide's own commands, as Slurm and Kubernetes start them, in a directory and in a bucket."""
    for name, text in (("srun", SRUN), ("vidsemi", VIDSEMI)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "teacher").symlink_to(untrained_weights.parent)
    paths = [str(shapes / path) for path in paths_of(shapes / "unlabeled.csv")[:14]]
    pq.write_table(pa.table({"path": paths}), tmp_path / "data" / "unlabeled.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(commands: list[list[str]], variables: list[dict[str, str]]) -> None:
        running = [
            subprocess.Popen(command, env={**os.environ, **own})
            for command, own in zip(commands, variables, strict=True)
        ]
        assert [process.wait() for process in running] == [0] * len(commands)

    (script,) = re.findall(r"^    #!/bin/bash\n    #SBATCH --array.*?\n\n", GUIDE, re.DOTALL | re.MULTILINE)
    Path("job.sh").write_text(textwrap.dedent(script))
    (block,) = re.findall(r"^    apiVersion:.*?\n\n", GUIDE, re.DOTALL | re.MULTILINE)
    (container,) = yaml.safe_load(block)["spec"]["template"]["spec"]["containers"]
    pod = [word.replace("/data/weights.pt", str(untrained_weights)) for word in container["command"]]
    pod = [word.replace("/data/", f"{tmp_path}/data/") for word in pod]
    alone = [word.replace("s3://bucket/scores", "alone") for word in pod]
    tasks = [{"SLURM_ARRAY_TASK_ID": str(task), "SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "1"} for task in range(2)]
    with s3_server() as server:
        run([["bash", "job.sh"]] * 2, tasks)
        run([pod, pod, alone], [{"JOB_COMPLETION_INDEX": "0"}, {"JOB_COMPLETION_INDEX": "1"}, {}])
        assert server.content("bucket", "scores") == content(Path("alone"))
    assert content(Path("scores")) == content(Path("alone")) and len(content(Path("alone"))) == 1 + 2 * 4
