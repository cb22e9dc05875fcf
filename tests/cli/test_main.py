"""The command line as a user meets it: exit status, one line for bad input, clean standard output."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.helpers import warm
from tests.helpers.builders import paths_of
from tests.helpers.errors import assert_refused
from tests.helpers.signals import heed_ctrl_c
from vidsemi.cli import main as cli
from vidsemi.cli import models
from vidsemi.cli.main import run_command
from vidsemi.cli.options import Parser
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path

WriteConfig = Callable[..., Path]
Result = subprocess.CompletedProcess[str]


def tool(script: str, *arguments: object) -> Result:
    """Run `python tools/…` in a process of its own."""
    return warm.run(REPOSITORY / "tools" / script, *arguments)


def check_refused(result: Result, code: str, *mentioned: object) -> None:
    """Exit status 2, nothing on standard output, and one line on standard error."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert_refused(result.stderr, code, *mentioned)


@pytest.mark.slow
def test_bad_input_gets_one_line_and_status_2(tiny_config: WriteConfig, shapes: Path, tmp_path: Path):
    config = tiny_config()
    result = tool("run.py", "--cfg", config, "selekt.per_class=3")
    check_refused(result, "config.unknown_key", "selekt", "'select'")
    (tmp_path / "label.csv").write_text(f"path,label\n{shapes}/test/00000.mp4,esat\n")
    result = tool("run.py", "--cfg", config, f"data.test={tmp_path}/label.csv")
    check_refused(result, "manifest.unknown_label", "'esat'", "line 2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "code", "mentioned"),
    [
        ("data.labeled={here}/no_path.csv", "manifest.missing_column", "no_path.csv"),
        ("data.unlabeled={here}/empty.csv", "manifest.empty", "empty.csv"),
        ("data.test={{manifest: {shapes}/test.csv, root: {here}/nowhere}}", "manifest.missing_root", "nowhere"),
        ("data.test={here}/nowhere.csv", "manifest.missing_file", "nowhere.csv"),
        ("students.0.model=r2plus1d_81", "model.unknown", "'r2plus1d_81'"),
        ("runtime.device=tpu", "device.unavailable", "'tpu'"),
    ],
)
def test_a_config_of_things_that_do_not_exist(
    tiny_config: WriteConfig,
    shapes: Path,
    tmp_path: Path,
    override: str,
    code: str,
    mentioned: str,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "no_path.csv").write_text("file,label\na,east\n")
    (tmp_path / "empty.csv").write_text("path,label\n")
    words = ["run", "--cfg", str(tiny_config()), override.format(here=tmp_path, shapes=shapes)]
    assert cli.main(words) == 2
    assert_refused(capsys.readouterr().err, code, mentioned)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_directory_of_another_config_is_refused(tiny_config: WriteConfig):
    config = tiny_config()
    assert tool("run.py", "--cfg", config, "--until", "teacher").returncode == 0
    result = tool("run.py", "--cfg", config, "input.crop=8")
    assert result.returncode == 2 and result.stdout == ""
    *warnings, error = result.stderr.splitlines(keepends=True)
    assert all("steps of" in warning for warning in warnings)  # of a training as short as a test's
    assert_refused(error, "stage.different_config", "input.crop was 16, is now 8")


def test_kinetics_without_data_names_the_file_and_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--cfg", "kinetics_student.yaml"]) == 2
    file, page = tmp_path / "data/kinetics/labeled.parquet", "datasets/kinetics/README.md"
    assert_refused(capsys.readouterr().err, "manifest.missing_file", file, page)


@pytest.mark.slow
def test_a_run_prints_its_table_or_one_json_document(tiny_config: WriteConfig, tmp_path: Path):
    config = tiny_config()
    first = tool("run.py", "--cfg", config, "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["results"] == json.loads((tmp_path / "run" / "results.json").read_text())
    again = tool("run.py", "--cfg", config)
    assert "| small " in again.stdout
    assert "already done" in again.stderr
    for name in ("results.md", "report.html", "accuracy_flops.svg", "accuracy_flops.png"):
        assert (tmp_path / "run" / name).stat().st_size > 500


@pytest.mark.slow
def test_stages_by_hand_equal_the_run(tiny_config: WriteConfig, shapes: Path, tmp_path: Path):
    assert tool("run.py", "--cfg", tiny_config()).returncode == 0
    weights = tmp_path / "run/seed0/teacher/train/weights.pt"
    scored = tool("score.py", "--weights", weights, "--manifest", shapes / "unlabeled.csv", "--output", tmp_path / "s",
                  "--per-example", "2", "--views", "2", "--shard-size", "20", "--workers", "0",
                  "--precision", "float32", "--json")  # fmt: skip
    assert json.loads(scored.stdout)["scored"] == 52
    selected = tool("select.py", "--scores", tmp_path / "s", "--per-class", "3", "--per-example", "2",
                    "--output", tmp_path / "d.parquet")  # fmt: skip
    assert selected.returncode == 0, selected.stderr
    ours = (tmp_path / "run/seed0/teacher/select/selection.parquet").read_bytes()
    assert (tmp_path / "d.parquet").read_bytes() == ours
    result = tool("select.py", "--scores", tmp_path / "s", "--per-class", "3", "--per-example", "5",
                  "--output", tmp_path / "e.parquet")  # fmt: skip
    check_refused(result, "select.per_example_too_large", "2 classes")
    assert not (tmp_path / "e.parquet").exists()


@pytest.mark.slow
def test_evaluate_measures_what_the_run_measured(
    tiny_config: WriteConfig, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["run", "--cfg", str(tiny_config()), "approaches=[supervised]", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    weights = str(tmp_path / "run" / row["weights"])
    command = ["evaluate", "--weights", weights, "--manifest", str(shapes / "test.csv"), "--views", "2"]
    command += ["--workers", "0"]
    assert cli.main([*command, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert {key: row[key] for key in metrics} == metrics
    assert cli.main(command) == 0
    assert f"top-1 {row['top1']:.2f}%" in capsys.readouterr().out


@pytest.mark.slow
def test_flops_as_json():
    """In a process of its own, since it takes 0.3 GB."""
    words = ["flops", "--model", "r2plus1d_18", "--frames", "8", "--size", "112", "--json"]
    document = json.loads(warm.run("-m", "vidsemi", *words).stdout)
    assert document["parameters"] == 33_370_839
    assert round(document["gmacs_per_view"], 2) == 20.75
    assert round(document["gmacs_per_video"], 1) == 207.5
    assert document["classes"] == 400


def test_manifest_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "v" / "jump").mkdir(parents=True)
    (tmp_path / "v" / "jump" / "a.mp4").touch()
    output = str(tmp_path / "m.csv")
    assert cli.main(["manifest", "folder", "--root", str(tmp_path / "v"), "--output", output, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert (written["manifest"], written["examples"], written["missing"]) == (output, 1, 0)
    with open(output, newline="") as file:
        assert list(csv.reader(file)) == [["path", "label"], ["v/jump/a.mp4", "jump"]]
    (tmp_path / "list.txt").write_text("jump/a.mp4 1\njump/b.mp4 1\n")
    assert (
        cli.main(["manifest", "ucf101", str(tmp_path / "list.txt"), "--root", str(tmp_path / "v"), "--output", output])
        == 0
    )
    assert "1 listed files do not exist" in capsys.readouterr().out
    assert (tmp_path / "m.missing.txt").read_text() == "jump/b.mp4\n"
    assert cli.main(["manifest", "kinetics", "--root", str(tmp_path), "--output", output]) == 2
    assert "[format.missing_file]" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_command_that_resumes(tiny_config: WriteConfig):
    config = tiny_config()
    command = [sys.executable, str(REPOSITORY / "tools" / "run.py"), "--cfg", str(config), "runtime.workers=2",
               "train.supervised.examples=1000000"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                               preexec_fn=heed_ctrl_c)  # fmt: skip
    log = config.parent / "run/seed0/teacher/train/train.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert b"Traceback" not in stderr
    assert stderr.decode().rstrip().endswith(f"resume with: {shlex.join(command)}")
    assert stdout == b""
    with pytest.raises(ProcessLookupError):  # its decoding processes are gone too
        os.killpg(process.pid, 0)


@pytest.mark.slow
def test_terminated_scoring_releases_its_lease(tmp_path: Path, shapes: Path, weights: Path):
    """As Slurm does before a machine is taken away: no lease is left, and the same command resumes."""
    paths = [f"{shapes}/{path}\n" for path in paths_of(shapes / "unlabeled.csv")]
    (tmp_path / "m.csv").write_text("path\n" + "".join(paths * 40))
    words = [str(REPOSITORY / "tools/score.py"), "--weights", str(weights), "--workers", "1"]
    words += ["--manifest", str(tmp_path / "m.csv"), "--output", str(tmp_path / "s"), "--shard-size", "20"]
    stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
    process = warm.Command(*words, stdout=stdout, stderr=stderr, session=True)
    while process.poll() is None and not list((tmp_path / "s").glob("part-*")):
        with suppress(TimeoutError):
            process.wait(0.02)
    assert list((tmp_path / "s" / "leases").iterdir())
    os.kill(process.pid, signal.SIGTERM)
    assert (process.wait(timeout=60), stdout.read_text()) == (143, ""), stderr.read_text()
    assert "Traceback" not in stderr.read_text()
    command = shlex.join([sys.executable, *words])
    assert stderr.read_text().rstrip().endswith(f"terminated; resume with: {command}")
    assert list((tmp_path / "s" / "leases").iterdir()) == []
    with suppress(ProcessLookupError):  # its decoding processes are gone too, or about to go
        end = time.monotonic() + 30
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
        pytest.fail("processes are left behind")


def test_a_full_disk_is_reported_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fill(options: object) -> None:
        with atomic_path(tmp_path / "part.parquet"):
            raise OSError("Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr(models, "flops", fill)
    assert cli.main(["flops", "--model", "resnet18", "--frames", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"vidsemi: error: {tmp_path}/part.parquet: Error writing bytes") and error.count("\n") == 1


def test_a_bug_raises(tiny_config: WriteConfig, monkeypatch: pytest.MonkeyPatch):
    def broken(options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(models, "flops", broken)
    with pytest.raises(ZeroDivisionError):  # the interpreter prints the traceback and exits with 1
        cli.main(["flops", "--model", "r2plus1d_18", "--frames", "8"])


EVALUATE = ["evaluate", "--weights", "w.pt", "--manifest", "m.csv"]


def test_overrides_may_stand_anywhere():
    options = cli.parse(
        cli.build_parser(), ["run", "seeds=[0]", "--cfg", "c.yaml", "output=x", "--check", "students.0.frames=4"]
    )
    assert sorted(options.overrides) == ["output=x", "seeds=[0]", "students.0.frames=4"]
    assert options.check


@pytest.mark.parametrize(
    ("command", "code", "mentioned"),
    [
        (["run", "--cfg", "c.yaml", "--unknown"], "options.invalid", "--unknown"),
        (["run"], "options.invalid", "--cfg"),
        (["walk"], "options.invalid", "'walk'"),
        (["flops", "--model", "r2plus1d_10", "--frames", "8", "--args", "width=0"], "model.invalid_args", "width"),
        ([*EVALUATE, "--views", "0"], "options.invalid", "--views is 0"),
        ([*EVALUATE, "--views", "1e3"], "options.invalid", "--views is 1e3"),
        ([*EVALUATE, "--seconds-per-file", "nan"], "options.invalid", "--seconds-per-file is nan"),
        (["manifest", "folder", "videos", "--output", "m.csv"], "options.invalid", "--root"),
    ],
)
def test_invalid_options(command: list[str], code: str, mentioned: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert_refused(output.err, code, mentioned)


def test_an_output_that_is_a_file_gets_one_line(
    tiny_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    assert cli.main(["run", "--cfg", str(tiny_config()), f"output={tmp_path}/file"]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/file" in error and error.count("\n") == 1
    (tmp_path / "results.json").write_text("[]")
    assert cli.main(["report", str(tmp_path), "--output", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/file" in error and error.count("\n") == 1


def test_help_needs_no_torch():
    code = (
        "import sys; from vidsemi.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'av', 'numpy', 'pyarrow', 'pydantic', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    names = "run init manifest hashtags score predict evaluate select transfer report export models flops convert"
    for name in names.split():
        assert f"\n    {name} " in result.stdout


@pytest.mark.parametrize(
    ("code", "status"), [("store.unreachable", 75), ("files.unreachable", 75), ("store.refused", 2)]
)
def test_the_status_tells_whether_to_start_again_later(code: str, status: int, capsys: pytest.CaptureFixture[str]):
    def command(options: object) -> None:
        raise UserError(code, "s3://bucket/scores does not answer")

    parser = Parser(prog="vidsemi")
    parser.set_defaults(command=command)
    assert run_command(lambda: parser, []) == status
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and f"[{code}]" in printed
