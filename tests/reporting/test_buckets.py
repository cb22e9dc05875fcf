"""Reports on runs in a bucket: the files of a report on disk, with few requests, and nothing half written."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import vidsemi
from tests.helpers.errors import assert_refused, refused
from tests.helpers.report_runs import fake_run
from tests.helpers.result_rows import row, write_results
from tests.helpers.s3_server import S3Server
from tests.reporting.test_selected_examples import write_selection
from vidsemi.cli import main as cli
from vidsemi.io import object_store
from vidsemi.io.object_store import RemotePath

pytestmark = pytest.mark.cluster
REPORT = re.compile(r"report\.|results\.(csv|md)|gains|accuracy_|class_frequency|training_curves|\w+_classes\.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("runs") / "run", ["eat", "fish", "jump"], 30, students=("small",))


@pytest.fixture
def copied(server: S3Server, run: Path) -> Iterator[RemotePath]:
    """The run in the bucket, beside files that no report needs."""
    upload(server, run, "runs/run")
    for name in ("seed0/teacher/train/checkpoint-1.pt", "seed0/teacher/score/part-000000.parquet"):
        server.client().put_object(Bucket="bucket", Key=f"runs/run/{name}", Body=b"x")
    yield RemotePath("s3://bucket", "runs/run")
    server.fault = lambda method, path: None
    for name in RemotePath("s3://bucket", "").walk():
        server.client().delete_object(Bucket="bucket", Key=name)


def upload(server: S3Server, folder: Path, key: str) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and not REPORT.match(file.name):
            server.client().upload_file(str(file), "bucket", f"{key}/{file.relative_to(folder).as_posix()}")


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_the_files_are_those_of_disk(server: S3Server, copied: RemotePath, run: Path, tmp_path: Path):
    """Wherever the report goes; and each file that it needs is read once, no other."""
    vidsemi.report(run, tmp_path / "disk", speed=False, previews=0)
    requests: list[tuple[str, str]] = []
    server.fault = lambda method, path: requests.append((method, unquote(path)))  # type: ignore[func-returns-value]
    vidsemi.report(str(copied), tmp_path / "local", speed=False, previews=0)
    read = [path.removeprefix("/bucket/runs/run/") for method, path in requests if not path.endswith("/bucket")]
    needed = {name for name in files(run) if not REPORT.match(name)}
    assert sorted(read) == sorted(needed)
    server.fault = lambda method, path: None
    assert cli.main(["report", str(copied), "--no-speed", "--previews", "0", "--output", "s3://bucket/reports"]) == 0
    vidsemi.report(str(copied), speed=False, previews=0)
    expected = files(tmp_path / "disk")
    assert files(tmp_path / "local") == server.content("bucket", "reports") == expected
    assert {name: data for name, data in server.content("bucket", "runs/run").items() if REPORT.match(name)} == expected


def test_files_of_an_earlier_report_are_removed(server: S3Server, copied: RemotePath, tmp_path: Path):
    """But no others, and nothing that a disk could not hold is in the way."""
    for name in ("report_files/", "", f"{300 * 'x'}.csv"):  # folders as the consoles of clouds make them
        server.client().put_object(Bucket="bucket", Key=f"out/{name}", Body=b"")
    for name in (
        "gains.csv",
        "accuracy_flops_2.svg",
        "report_files/0123456789abcdef0123.webp",
        "report_files/mine.png",
    ):
        server.client().put_object(Bucket="bucket", Key=f"out/{name}", Body=b"old")
    alone = write_results(tmp_path / "alone", [row("teacher", "teacher", 0, 80.0)])
    vidsemi.report(alone, "s3://bucket/out", speed=False)
    left = server.content("bucket", "out")
    assert {"report.html", "results.md", "report_files/mine.png"} <= left.keys()
    assert not {"gains.csv", "accuracy_flops_2.svg", "report_files/0123456789abcdef0123.webp"} & left.keys()


def test_a_place_without_results_is_refused(server: S3Server, copied: RemotePath, capsys: pytest.CaptureFixture[str]):
    for place, code in (("s3://bucket/runs/ru", "results.missing"), ("s3://nowhere/run", "store.missing")):
        assert cli.main(["report", place]) == 2
        assert_refused(capsys.readouterr().err, code, place.removesuffix("/run"))


@pytest.mark.parametrize(
    ("method", "name", "kind", "code"),
    [
        ("GET", "stage", "throttled", "store.unreachable"),
        ("GET", "predictions", "expired", "store.refused"),
        ("PUT", "report.html", "throttled", "store.unreachable"),
    ],
)
def test_an_outage_is_one_line_and_leaves_the_old_page(
    server: S3Server,
    copied: RemotePath,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    name: str,
    kind: str,
    code: str,
):
    server.client().put_object(Bucket="bucket", Key="runs/run/report.html", Body=b"old")
    server.client().put_object(Bucket="bucket", Key="runs/run/seed0/stage.json", Body=b"{}")
    monkeypatch.setattr(object_store.tolerant, "__defaults__", (0.0,))
    monkeypatch.setattr("vidsemi.io.remote_file.SHORT_PATIENCE", 0.0)
    server.fault = lambda verb, path: kind if verb == method and name in path else None
    with refused(code, "s3://bucket/runs/run"):
        vidsemi.report(str(copied), speed=False, previews=0)
    server.fault = lambda method, path: None
    assert server.content("bucket", "runs/run")["report.html"] == b"old"


def test_browse_writes_the_page_of_disk(server: S3Server, tmp_path: Path):
    file = write_selection(tmp_path / "s", ["eat", "fish", "jump"], examples=12, per_class=3)
    upload(server, tmp_path / "s", "own")
    own = {"manifest": file.with_name("m.csv"), "previews": 1, "workers": 0}
    page = vidsemi.browse(file, scores=file.with_name("scores"), **own)
    there = vidsemi.browse("s3://bucket/own/selection.parquet", scores="s3://bucket/own/scores", **own)
    assert str(there) == "s3://bucket/own/selection.html" and there.read_bytes() == page.read_bytes()
    with refused("browse.missing_manifest", "s3://bucket/own/selection.parquet"):
        vidsemi.browse("s3://bucket/own/selection.parquet")
    with refused("selection.not_found", "s3://bucket/none.parquet"):
        vidsemi.browse("s3://bucket/none.parquet", **own)
