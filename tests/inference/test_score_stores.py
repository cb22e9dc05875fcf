"""Scoring into an object store: the bytes of a local directory, whatever happens to workers, server and credentials."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from tests.helpers.s3_server import S3Server
from tests.inference.test_score_workers import (  # noqa: F401
    content,
    manifest,
    run_job,
    score,
    undisturbed,
    weights,
    whole,
)
from vidsemi.cli import main as cli
from vidsemi.io import object_store
from vidsemi.io.object_store import ObjectStore, RemotePath

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_thread")]
FOLDER = RemotePath("s3://bucket", "s")


@pytest.fixture
def server(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """One whose folder is empty again after each test."""
    monkeypatch.setattr(ObjectStore, "wait_seconds", 0.1)
    yield server
    server.fault = lambda method, path: None
    ObjectStore(FOLDER).remove_folder("")
    for name in ("failures", "leases", "retry", "aside"):
        ObjectStore(FOLDER).remove_folder(name)


def test_selection_reads_what_scoring_wrote(
    server: S3Server,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
    whole: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """By the command line, though answers are lost, late or errors; then failures are read again, in vain."""
    dice = random.Random(0)
    kinds = ["throttled", "failed", "cut", "lost", "slow", *[None] * 20]
    server.fault = lambda method, path: dice.choice(kinds)
    words = ["score", "--weights", str(weights), "--manifest", str(manifest), "--output", str(FOLDER), "--json"]
    words += ["--views", "2", "--per-example", "3", "--shard-size", "4", "--precision", "float32"]
    words += ["--workers", "0", "--device", "cpu"]
    assert cli.main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["scored"], document["failed"], document["scores"]) == (52, 3, "s3://bucket/s")
    assert server.content("bucket", "s") == undisturbed
    assert cli.main([*words, "--retry-failures"]) == 0
    assert server.content("bucket", "s") == undisturbed
    for scores, name in ((str(whole), "disk"), (str(FOLDER), "s3")):
        chosen = ["--per-class", "3", "--per-example", "1", "--output", str(tmp_path / f"{name}.parquet")]
        assert cli.main(["select", "--scores", scores, *chosen]) == 0
    assert (tmp_path / "s3.parquet").read_bytes() == (tmp_path / "disk.parquet").read_bytes()


@pytest.mark.parametrize(
    ("kind", "code"),
    [("expired", "refused"), ("denied", "refused"), ("throttled", "unreachable"), ("cut", "unreachable")],
)
def test_a_store_that_goes_away_or_refuses_makes_no_failures(
    server: S3Server,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    code: str,
):
    written = []

    def after_some_shards(method: str, path: str) -> str | None:
        if method == "PUT" and "/part-" in path:
            written.append(path)
        return kind if len(written) > 5 else None

    server.fault = after_some_shards
    with monkeypatch.context() as context:
        context.setattr(object_store.tolerant, "__defaults__", (0.0,))
        context.setattr(object_store, "PATIENCE", 0.0)
        with refused(f"store.{code}", str(FOLDER)):
            score(FOLDER, weights, manifest)
    server.fault = lambda method, path: None
    left = {name: data for name, data in server.content("bucket", "s").items() if not name.startswith("leases/")}
    assert len(left) == 6 and left.items() <= undisturbed.items()
    monkeypatch.setattr("vidsemi.runtime.leases.is_dead", lambda owner: True)  # this process was that worker
    score(FOLDER, weights, manifest)
    assert server.content("bucket", "s") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_workers_that_are_stopped_and_continue_change_nothing(
    place: str,
    server: S3Server,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
):
    """For longer than their leases last, so that others take their shards over."""
    folder = tmp_path / "s" if place == "disk" else str(FOLDER)
    done = run_job(folder, weights, manifest, workers=3, kills=6, fate="stop", seed=4)
    assert done["killed"] >= 6
    assert (content(tmp_path / "s") if place == "disk" else server.content("bucket", "s")) == undisturbed
