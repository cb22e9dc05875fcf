"""A bucket that goes away or refuses credentials in the middle of any job makes no failures, as a disk does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.data.dedup.test_hash_files import hashed, known
from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server, s3_server
from tests.inference.test_score_buckets import ROOT, folder  # noqa: F401
from vidsemi.config import Runtime
from vidsemi.data import look, reachable, verify_job
from vidsemi.data.dedup import hash_job
from vidsemi.data.dedup.hash_files import hash_manifest
from vidsemi.data.manifest import load_manifest
from vidsemi.data.verify_job import verify_files
from vidsemi.inference import features
from vidsemi.inference.features import extract_features
from vidsemi.io import object_store, remote_file, store_patience
from vidsemi.io.object_store import ObjectStore, RemotePath

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_thread")]
OUTAGES = [
    ("expired", "store.refused"),
    pytest.param("denied", "store.refused", marks=pytest.mark.slow),
    pytest.param("throttled", "unreachable", marks=pytest.mark.slow),
    pytest.param("cut", "unreachable", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[S3Server]:  # noqa: F811
    with s3_server() as server:
        for file in folder.iterdir():
            server.client().upload_file(str(file), "bucket", f"videos/{file.name}")
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for module, name, value in (
        (store_patience, "LONGEST_DELAY", 0.01),
        (features, "SHARD_SIZE", 4),
        (verify_job, "ROWS_AT_ONCE", 4),
        (hash_job, "SHARD_SIZE", 4),
    ):
        monkeypatch.setattr(module, name, value)
    yield running
    running.fault = lambda method, path: None


def fail_after(server: S3Server, count: int, kind: str, part: str) -> None:
    """Answer so many requests whose path has a part, and all further ones with a fault."""
    seen: list[str] = []

    def fault(method: str, path: str) -> str | None:
        seen.extend([path] if part in path else [])
        return kind if len(seen) > count else None

    server.fault = fault


@pytest.mark.parametrize(("kind", "code"), OUTAGES)
@pytest.mark.parametrize("job", ["features", "verify", "hash"])
def test_videos_in_a_bucket_that_goes_away_make_no_failures(
    job: str,
    kind: str,
    code: str,
    server: S3Server,
    folder: Path,  # noqa: F811
    untrained_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    manifest = load_manifest(folder / "m.csv", ROOT)

    def run(output: Path) -> Any:
        if job == "features":
            options: dict[str, Any] = {"runtime": Runtime(device="cpu", workers=0), "title": "features", "views": 1}
            extract_features(output, weights=untrained_weights, manifests=[manifest], **options)
            return {file.name: file.read_bytes() for file in output.glob("part-*")}
        if job == "verify":
            verify_files(manifest, output / "table.csv", workers=0, seconds=60)
            return (output / "table.csv").read_bytes()
        return known(hash_manifest(manifest, output, workers=0, seconds=60))

    whole = run(tmp_path / "whole")
    fail_after(server, 9, kind, "/v")
    with monkeypatch.context() as context:
        for module, name in ((reachable, "WAIT_SECONDS"), (remote_file, "SHORT_PATIENCE"), (look, "STORE_SECONDS")):
            context.setattr(module, name, 0.0)
        with refused(code if "." in code else f"files.{code}", "s3://bucket/videos/v"):
            run(tmp_path / "job")
    server.fault = lambda method, path: None
    errors = [
        error
        for file in (tmp_path / "job").rglob("part-*")
        for error in pq.read_table(file).column("error").to_pylist()
    ]
    assert len(errors) == 8 and sum(error is not None for error in errors) == 1
    monkeypatch.setattr("vidsemi.runtime.leases.is_dead", lambda owner: True)  # this process was that worker
    assert run(tmp_path / "job") == whole


@pytest.mark.parametrize(("kind", "code"), OUTAGES)
def test_hashes_in_a_bucket_that_goes_away_make_no_failures(
    kind: str,
    code: str,
    server: S3Server,
    folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    place = RemotePath("s3://bucket", f"hashes-{kind}")
    whole = known(hashed(folder / "m.csv", tmp_path / "whole"))
    server.fault = lambda method, path: None
    written: list[str] = []

    def after_two_shards(method: str, path: str) -> str | None:
        if method == "PUT" and "/part-" in path:
            written.append(path)
        return kind if len(written) > 2 else None

    server.fault = after_two_shards
    with monkeypatch.context() as context:
        context.setattr(object_store, "PATIENCE", 0.0)
        context.setattr(object_store.tolerant, "__defaults__", (0.0,))
        with refused(code if "." in code else f"store.{code}", str(place)):
            hashed(folder / "m.csv", place)
    server.fault = lambda method, path: None
    shards = [name for name in ObjectStore(place).names() if name.startswith("part-")]
    assert len(shards) == 2
    monkeypatch.setattr("vidsemi.runtime.leases.is_dead", lambda owner: True)
    assert known(hashed(folder / "m.csv", place)) == whole
