"""Ray as the engine: the bytes of one process, whatever happens to actors and nodes; one line for what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.helpers.ray_jobs import score_with_odd_files
from tests.helpers.s3_server import S3Server, s3_server
from tests.helpers.signals import heed_ctrl_c
from tests.inference.test_engine_jobs import LOCAL, RAY, make_features, make_hashes, make_table
from tests.inference.test_score_workers import (  # noqa: F401
    SHARD,
    content,
    manifest,
    undisturbed,
    weights,
    whole,
)
from vidsemi.cli import main as cli
from vidsemi.config import Runtime
from vidsemi.data.manifest import load_manifest
from vidsemi.data.manifest_source import ManifestSource
from vidsemi.runtime.leases import CAREFUL_FROM, MAX_DEATHS
from vidsemi.runtime.ray_engine import run_on_ray

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
LONG = 120.0  # seconds; only a failure takes as long


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster(server: S3Server) -> Iterator[Any]:  # its nodes inherit the environment, and with it the server's address
    """A cluster of two nodes of one CPU, and a head without any, that commands join; it wants no token."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(dir="/tmp", prefix="r") as folder:
        patch.setenv("RAY_TMPDIR", folder)  # so that commands without RAY_ADDRESS find no other cluster than this one
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        started = Cluster(True, head_node_args={**NODE, "num_cpus": 0})
        for _ in range(2):
            started.add_node(**NODE)
        patch.delenv("RAY_AUTH_MODE")
        patch.setenv("RAY_AUTH_TOKEN", "this machine's")
        patch.setenv("RAY_ADDRESS", started.address)
        yield started
        started.shutdown()


def command(weights: Path, manifest: Path, output: object, *more: str) -> list[str]:  # noqa: F811
    words = ["score", "--weights", str(weights), "--manifest", str(manifest), "--output", str(output), "--json"]
    words += ["--views", "2", "--per-example", "3", "--shard-size", str(SHARD), "--precision", "float32"]
    return [*words, "--workers", "0", "--device", "cpu", "--engine", "ray", *more]


def run_odd_job(folder: Path, weights: Path, manifest: Path, actors: int, **odd: Any) -> None:  # noqa: F811
    job = partial(
        score_with_odd_files,
        folder=folder,
        weights=weights,
        manifest=ManifestSource.of(load_manifest(manifest)),
        views=2,
        crops=1,
        per_example=3,
        shard_size=SHARD,
        precision="float32",
        title="score",
        retry_failures=None,
        decoder="pyav",
        class_map=None,
        **odd,
    )
    runtime = Runtime(device="cpu", workers=0, engine="ray", actors=actors)
    run_on_ray(job, runtime, place=folder, title="score")


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def owners(folder: Path) -> set[int]:
    """Processes that have leases."""
    found = set()
    for lease in (folder / "leases").glob("0*"):
        try:
            owner = json.loads(lease.read_text())["owner"]
        except (OSError, ValueError):  # it is being replaced
            continue
        found |= {owner["pid"]} if owner else set()
    return found


def start(words: list[str], **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "vidsemi", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )


def many(manifest: Path, folder: Path) -> Path:  # noqa: F811
    """A manifest that takes minutes."""
    rows = manifest.read_text().splitlines()
    (folder / "m.csv").write_text("\n".join([rows[0], *rows[1:] * 200]) + "\n")
    return folder / "m.csv"


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_actors_leave_what_one_process_leaves(
    cluster: object,
    server: S3Server,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
):
    if place == "disk":
        monkeypatch.delenv("RAY_ADDRESS")  # the command finds the cluster of this machine
    output = tmp_path / "s" if place == "disk" else "s3://bucket/s"
    assert cli.main(command(weights, manifest, output)) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["scored"], document["failed"], document["shards"]) == (52, 3, 14)
    assert (content(tmp_path / "s") if place == "disk" else server.content("bucket", "s")) == undisturbed
    assert "of 2 workers, 3 cannot be read, waits for data" in err, err
    assert cli.main(command(weights, manifest, output, "--views", "3")) == 2  # which the actors find out
    out, err = capsys.readouterr()
    assert out == "" and "[scores.plan_mismatch]" in err and "views 2 (now 3)" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("make", [make_features, make_table, make_hashes])
def test_actors_do_other_jobs_as_one_process_does(
    cluster: object,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    make: Callable[..., Any],
):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    examples = load_manifest(manifest)
    here = make(tmp_path / "here", weights, examples, LOCAL)
    assert make(tmp_path / "there", weights, examples, RAY) == here


def test_a_node_that_goes_without_notice_and_one_that_joins_change_nothing(
    cluster: Any,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
):
    gate, folder = tmp_path / "gate", tmp_path / "s"

    job = Thread(target=run_odd_job, args=(folder, weights, manifest, 2), kwargs={"gate": str(gate), "begin": 24})
    job.start()
    try:
        wait_until(lambda: len(owners(folder)) == 2)
        before = owners(folder)
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        cluster.add_node(**NODE)
        wait_until(lambda: owners(folder) - before)
    finally:
        gate.write_text("")
    job.join()
    assert content(folder) == undisturbed


def test_a_file_that_kills_actors_costs_itself(
    cluster: object,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    deadly = load_manifest(manifest).row(30).path
    run_odd_job(tmp_path / "s", weights, manifest, actors=1, deadly=Path(deadly).name)
    failures = pq.read_table(tmp_path / "s" / "failures").to_pylist()
    assert [row["example_id"] for row in failures] == [0, 21, 30, 40]
    assert failures[2] == {"example_id": 30, "path": deadly, "error": "crashes the worker repeatedly"}
    same = [name for name, data in content(tmp_path / "s").items() if undisturbed[name] == data]
    assert len(same) == len(undisturbed) - 2  # all but its own shard's two files
    assert sum("a worker has died" in message for message in caplog.messages) == CAREFUL_FROM - 1 + MAX_DEATHS
    assert capsys.readouterr().out == ""  # where Ray would report them


def test_ctrl_c_ends_all(tmp_path: Path, weights: Path, manifest: Path):  # noqa: F811
    """Also the cluster, which the command has started."""
    words = command(weights, many(manifest, tmp_path), tmp_path / "s", "--actors", "1")
    running = start(words, RAY_ADDRESS="local")
    try:
        wait_until(lambda: list((tmp_path / "s").glob("part-*")) or running.poll() is not None)
        started = psutil.Process(running.pid).children(recursive=True)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        out, err = running.communicate(timeout=LONG)
    finally:
        running.kill()
    assert (running.returncode, out) == (130, ""), err
    assert "resume with" in err and "Traceback" not in err
    assert not psutil.wait_procs(started, timeout=LONG)[1]
    assert not list((tmp_path / "s").glob(".*")) and not list((tmp_path / "s" / "leases").iterdir())


def test_a_command_that_is_killed_ends_its_actors_and_the_next_takes_over(
    cluster: object,
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
    undisturbed: dict[str, bytes],  # noqa: F811
):
    words = command(weights, manifest, tmp_path / "s", "--actors", "1")
    with start(words) as running:
        wait_until(lambda: owners(tmp_path / "s"))
        workers = owners(tmp_path / "s")
        running.kill()
    wait_until(lambda: not any(psutil.pid_exists(worker) for worker in workers))
    (marker,) = (tmp_path / "s").glob(".ray-*.tmp")  # removed by a command a day later
    marker.unlink()
    assert cli.main(words) == 0
    assert content(tmp_path / "s") == undisturbed


def test_a_head_node_that_is_lost_ends_the_command(
    tmp_path: Path,
    weights: Path,  # noqa: F811
    manifest: Path,  # noqa: F811
):
    words = command(weights, many(manifest, tmp_path), tmp_path / "s", "--actors", "1")
    with start(words, RAY_ADDRESS="local", RAY_gcs_rpc_server_reconnect_timeout_s="20") as running:
        try:
            wait_until(lambda: list((tmp_path / "s").glob("part-*")) or running.poll() is not None)
            started = psutil.Process(running.pid).children(recursive=True)
            actors = [process for process in started if process.name().startswith("ray::Actor")]
            next(process for process in started if process.name() == "gcs_server").kill()
            out, err = running.communicate(timeout=LONG)
        finally:
            running.kill()
    assert (running.returncode, out) == (2, ""), err
    assert "[ray.head_lost]" in err and "Traceback" not in err
    assert actors and not psutil.wait_procs(actors, timeout=LONG)[1]
