"""Storms: three workers of a job, killed a hundred times, on a disk and in a bucket; files that kill workers."""

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv
import pytest

from tests.helpers.s3_server import S3Server, s3_server
from tests.inference.test_score_workers import content, manifest, run_job, weights  # noqa: F401
from vidsemi.data.manifest import load_manifest
from vidsemi.runtime.leases import CAREFUL_FROM, MAX_DEATHS

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
KILLS = 100


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """One that also loses, delays and refuses requests."""
    dice = random.Random(0)
    kinds = ["throttled", "failed", "cut", "lost", "slow", *[None] * 200]
    with s3_server() as running:
        running.fault = lambda method, path: dice.choice(kinds)
        yield running
        running.fault = lambda method, path: None


def is_junk(name: str) -> bool:
    """Files that workers leave which are killed just then, as the docs say."""
    return name.startswith(("probe-", "checked/"))


def left_in(folder: Path, server: S3Server | None) -> dict[str, bytes]:
    """What a job has written to a folder, or to the bucket's."""
    if server is not None:
        server.fault = lambda method, path: None
    files = content(folder) if server is None else server.content("bucket", folder.name)
    return {name: data for name, data in files.items() if not is_junk(name)}


def written(folder: Path) -> dict[str, bytes]:
    """The files in a folder, but the hidden ones that a process leaves which is killed while it writes."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name[0] != "."}


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_scores_survive_a_hundred_kills(
    place: str,
    tmp_path: Path,
    server: S3Server,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
):
    """Nothing is lost and nothing is there twice: the bytes are those of one worker that nobody disturbs."""
    run_job(tmp_path / "whole", weights, manifest)
    storm = tmp_path / "scores"
    folder = storm if place == "disk" else f"s3://bucket/{storm.name}"
    killed = run_job(folder, weights, manifest, workers=3, kills=KILLS, fate="moment", seed=len(place))["killed"]
    assert killed >= KILLS
    assert left_in(storm, None if place == "disk" else server) == content(tmp_path / "whole")


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_hashes_survive_a_hundred_kills(
    place: str,
    tmp_path: Path,
    server: S3Server,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
):
    """The manifest without duplicates, and the lists beside it, are those of one undisturbed worker."""
    whole, storm = tmp_path / "whole", tmp_path / "storm"
    run_job(whole / "hashes", weights, manifest, kind="hash", output=str(whole))
    folder = storm / "hashes" if place == "disk" else "s3://bucket/hashes"
    job = {"kind": "hash", "output": str(storm), "workers": 3, "kills": KILLS, "fate": "moment", "seed": len(place)}
    assert run_job(folder, weights, manifest, **job)["killed"] >= KILLS
    lists = [written(one) for one in (storm, whole)]
    assert lists[0].keys() >= {"clean.csv", "clean.duplicates.csv", "clean.unread.txt"}
    for one, parent in zip(lists, (storm, whole), strict=True):
        one["clean.duplicates.json"] = one["clean.duplicates.json"].replace(str(parent).encode(), b"")
    assert lists[0] == lists[1]


def test_a_verification_survives_a_hundred_kills(
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
):
    run_job(tmp_path / "whole", weights, manifest, kind="verify")
    job = {"kind": "verify", "workers": 3, "kills": KILLS, "fate": "moment", "seed": 1}
    assert run_job(tmp_path / "storm", weights, manifest, **job)["killed"] >= KILLS
    assert written(tmp_path / "storm") == written(tmp_path / "whole")
    assert [one.name for one in (tmp_path / "storm").iterdir() if one.is_dir()] == []


@pytest.mark.parametrize("kind", ["verify", "hash"])
def test_a_file_that_kills_workers_is_unreadable_in_the_end(
    kind: str,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
):
    deadly = load_manifest(manifest).row(30).path
    job = {"kind": kind, "output": str(tmp_path), "deadly": Path(deadly).name}
    assert run_job(tmp_path / "job", weights, manifest, **job)["killed"] == CAREFUL_FROM - 1 + MAX_DEATHS
    if kind == "verify":
        errors = pyarrow.csv.read_csv(tmp_path / "job" / "table.csv").column("error").to_pylist()
        assert errors[30] == "crashes the worker repeatedly"
        assert [example for example, error in enumerate(errors) if error] == [0, 21, 30, 40]
    else:
        lines = (tmp_path / "clean.unread.txt").read_text().splitlines()
        assert lines[2] == f"{deadly}: crashes the worker repeatedly" and len(lines) == 4
