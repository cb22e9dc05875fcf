"""Videos, tars and manifests in an object store: the scores of those on disk, whatever server and credentials do."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.builders import paths_of
from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server, s3_server
from tests.inference.test_score_workers import content, run_job, score
from vidsemi.cli import main as cli
from vidsemi.config import Runtime
from vidsemi.data import look, reachable
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io import remote_file
from vidsemi.io.object_store import RemotePath

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_thread")]
ROOT = RemotePath("s3://bucket", "videos")
VIDEOS = 14


@pytest.fixture(scope="module")
def folder(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos on disk, one of them broken, the same in a tar, and manifests of both."""
    folder = tmp_path_factory.mktemp("videos")
    names = []
    for number, path in enumerate(paths_of(shapes / "unlabeled.csv")[:VIDEOS]):
        names.append(f"v{number}.mp4")
        (folder / names[-1]).write_bytes((shapes / path).read_bytes())
    (folder / "v3.mp4").write_bytes(b"no video")
    (folder / "m.csv").write_text("\n".join(["path", *names]) + "\n")
    with tarfile.open(folder / "t.tar", "w") as tar:
        for name in names:
            tar.add(folder / name, name)
    with tarfile.open(folder / "t.tar") as tar:
        lines = [f"t.tar,{member.name},{member.offset_data},{member.size}" for member in tar]
    (folder / "t.csv").write_text("\n".join(["path,member,offset,size", *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[S3Server]:
    with s3_server() as server:
        for file in folder.iterdir():
            server.client().upload_file(str(file), "bucket", f"videos/{file.name}")
        yield server


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory, untrained_weights: Path, folder: Path) -> dict[str, bytes]:
    """What scoring leaves when everything is on disk."""
    output = tmp_path_factory.mktemp("on_disk")
    run_job(output, untrained_weights, folder / "m.csv")
    return content(output)


def without_failures(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files that do not name paths."""
    return {name: data for name, data in files.items() if not name.startswith("failures/")}


def test_by_the_command_line(
    server: S3Server,
    untrained_weights: Path,
    folder: Path,
    on_disk: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Manifest and videos in the bucket, each video with one request, some of which fail at first."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    gets: Counter[str] = Counter()
    faults = {"/bucket/videos/v1.mp4": "throttled", "/bucket/videos/v5.mp4": "cut", "/bucket/videos/m.csv": "failed"}

    def fault(method: str, path: str) -> str | None:
        gets[path] += 1
        return faults.get(path) if gets[path] == 1 else None

    server.fault = fault
    words = ["score", "--weights", str(untrained_weights), "--output", str(tmp_path / "s"), "--workers", "0", "--json"]
    words += ["--views", "2", "--per-example", "3", "--shard-size", "4", "--precision", "float32", "--device", "cpu"]
    assert cli.main([*words, "--manifest", "s3://bucket/videos/m.csv"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 1
    scored = content(tmp_path / "s")
    assert without_failures(scored) == without_failures(on_disk) and scored.keys() == on_disk.keys()
    (failed,) = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    (known,) = pq.read_table(io.BytesIO(on_disk["failures/part-000000.parquet"])).to_pylist()
    assert failed == {**known, "path": "s3://bucket/videos/v3.mp4"}
    assert {path: count for path, count in gets.items() if count > 1} == dict.fromkeys(faults, 2)


@pytest.mark.parametrize("manifest", ["m.csv", "t.csv"])
def test_a_root_in_a_bucket(
    server: S3Server, untrained_weights: Path, folder: Path, on_disk: dict[str, bytes], tmp_path: Path, manifest: str
):
    """With reading processes of their own; and from tars, whose members are not the same manifest."""
    runtime = Runtime(device="cpu", workers=1)
    local = load_manifest(folder / manifest)
    remote = load_manifest(folder / manifest, ROOT)
    assert local.fingerprint == remote.fingerprint and remote.row(2).path.startswith("s3://bucket/videos/")
    score(tmp_path / "s", untrained_weights, remote, runtime=runtime)
    if manifest == "m.csv":
        known = on_disk
    else:
        score(tmp_path / "local", untrained_weights, local, runtime=runtime)
        known = content(tmp_path / "local")
    assert without_failures(content(tmp_path / "s")) == without_failures(known)


def test_missing_files_and_ranges(server: S3Server, untrained_weights: Path, folder: Path, tmp_path: Path):
    """They are failures, as on disk."""
    lines = (folder / "t.csv").read_text().splitlines()
    rows = [*lines[:4], "none.tar,v1.mp4,0,10", "t.tar,v1.mp4,10,100000000", "t.tar,v1.mp4,,", "../../x.tar,a,0,9"]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    done = score(tmp_path / "s", untrained_weights, load_manifest(tmp_path / "m.csv", ROOT), shard_size=10)
    assert (done["scored"], done["failed"]) == (3, 4)
    errors = [row["error"] for row in pq.read_table(tmp_path / "s" / "failures").to_pylist()]
    words = ("no such file", "ends before byte", "no offset", "..")
    assert all(word in error for word, error in zip(words, errors, strict=True)), errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("expired", "store.refused"),
        ("denied", "store.refused"),
        ("throttled", "files.unreachable"),
        ("cut", "files.unreachable"),
    ],
)
def test_a_bucket_that_goes_away_or_refuses_makes_no_failures(
    server: S3Server,
    untrained_weights: Path,
    folder: Path,
    on_disk: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    code: str,
):
    seen = []
    server.fault = lambda method, path: seen.append(path) or (kind if len(seen) > 9 else None)
    with monkeypatch.context() as context:
        for module, name in (
            (reachable, "WAIT_SECONDS"),
            (remote_file, "SHORT_PATIENCE"),
            (look, "STORE_SECONDS"),
        ):
            context.setattr(module, name, 0.0)
        with refused(code, "s3://bucket/videos/v"):
            score(tmp_path / "s", untrained_weights, load_manifest(folder / "m.csv", ROOT))
    server.fault = lambda method, path: None
    left = {file.name: file.read_bytes() for file in (tmp_path / "s").glob("part-*")}
    assert left and left.items() <= on_disk.items()
    failures = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    assert [row["example_id"] for row in failures] == [3]
    monkeypatch.setattr("vidsemi.runtime.leases.is_dead", lambda owner: True)  # this process was that worker
    score(tmp_path / "s", untrained_weights, load_manifest(folder / "m.csv", ROOT))
    assert without_failures(content(tmp_path / "s")) == without_failures(on_disk)


def test_one_refused_file_is_a_failure(server: S3Server, untrained_weights: Path, folder: Path, tmp_path: Path):
    server.fault = lambda method, path: "denied" if path.endswith("/v5.mp4") else None
    done = score(tmp_path / "s", untrained_weights, load_manifest(folder / "m.csv", ROOT), shard_size=100)
    assert (done["scored"], done["failed"]) == (VIDEOS - 2, 2)
    assert "AccessDenied" in pq.read_table(tmp_path / "s" / "failures").to_pylist()[1]["error"]


def test_manifests_in_a_bucket_are_those_on_disk(
    server: S3Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    local = Manifest.read(folder / "t.csv")
    remote = Manifest.read("s3://bucket/videos/t.csv")
    assert remote.table.equals(local.table) and remote.fingerprint == local.fingerprint
    assert (str(remote.file), str(remote.root)) == ("s3://bucket/videos/t.csv", "s3://bucket/videos")
    moved = Manifest.read("s3://bucket/videos/t.csv", folder)
    assert moved.row(0) == local.row(0)
    with refused("manifest.missing_file", "s3://bucket/videos/none.csv"):
        Manifest.read("s3://bucket/videos/none.csv")
    with refused("manifest.missing_column", "s3://bucket/videos/v1.csv"):
        server.client().put_object(Bucket="bucket", Key="videos/v1.csv", Body=b"a,b\n1,2\n")
        Manifest.read("s3://bucket/videos/v1.csv")
