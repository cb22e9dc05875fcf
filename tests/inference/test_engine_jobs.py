"""What workers on other machines are sent: every job survives pickling and does there what it does here."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.helpers.builders import paths_of
from tests.helpers.errors import refused
from vidsemi.cli import main as cli
from vidsemi.config import Runtime
from vidsemi.data import verify_job
from vidsemi.data.dedup import hash_job
from vidsemi.data.dedup.hash_files import hash_manifest
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.verify_job import verify_files
from vidsemi.inference import features, score
from vidsemi.inference.features import extract_features
from vidsemi.inference.score import score_manifest

LOCAL = Runtime(device="cpu", workers=0)
RAY = Runtime(device="cpu", workers=0, engine="ray")
MODULES = (score, features, verify_job, hash_job)


def read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("part-*.parquet")}


def make_scores(folder: Path, weights: Path, manifest: Manifest, runtime: Runtime) -> Any:
    options = {"views": 1, "per_example": 3, "shard_size": 3, "precision": "float32", "title": "score"}
    metrics = score_manifest(folder, weights=weights, manifest=manifest, runtime=runtime, **options)
    return metrics, read(folder)


def make_features(folder: Path, weights: Path, manifest: Manifest, runtime: Runtime) -> Any:
    manifests = [manifest, manifest]
    metrics = extract_features(folder, weights=weights, manifests=manifests, views=1, runtime=runtime, title="features")
    return metrics, read(folder)


def make_table(folder: Path, weights: Path, manifest: Manifest, runtime: Runtime) -> Any:
    engine = runtime if runtime.engine == "ray" else None
    summary = verify_files(manifest, folder / "t.parquet", workers=0, seconds=60, engine=engine)
    assert [file.name for file in folder.iterdir()] == ["t.parquet"]
    return summary.document(), pq.read_table(folder / "t.parquet").to_pylist()


def make_hashes(folder: Path, weights: Path, manifest: Manifest, runtime: Runtime) -> Any:
    engine = runtime if runtime.engine == "ray" else None
    hashed = hash_manifest(manifest, folder, workers=0, seconds=60, engine=engine)
    return hashed.unread, [pq.read_table(file).to_pylist() for file in folder.glob("part-*")]


KINDS = [make_scores, make_features, make_table, make_hashes]


@pytest.fixture(scope="module")
def manifest(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("manifest")
    rows = [f"{shapes}/{path}" for path in paths_of(shapes / "unlabeled.csv")[:5]]
    (folder / "m.csv").write_text("\n".join(["path", *rows, str(folder / "missing.mp4")]) + "\n")
    return load_manifest(folder / "m.csv")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Runtime, Any]]:
    """The jobs that are sent to a cluster, which is this process."""
    jobs: list[tuple[Runtime, Any]] = []

    def run(job: Callable[[Runtime], Any], runtime: Runtime, *, place: Any, **options: Any) -> Any:
        jobs.append((runtime, place))
        packed = pickle.dumps(job)
        assert len(packed) < 10_000  # no manifest and no network
        return pickle.loads(packed)(runtime.model_copy(update={"engine": "local"}))

    for module in MODULES:
        monkeypatch.setattr(module, "run_on_ray", run)
    return jobs


@pytest.mark.parametrize("make", KINDS)
def test_a_job_does_elsewhere_what_it_does_here(
    make: Callable[..., Any], sent: list[Any], untrained_weights: Path, manifest: Manifest, tmp_path: Path
):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here = make(tmp_path / "here", untrained_weights, manifest, LOCAL)
    assert not sent
    assert make(tmp_path / "there", untrained_weights, manifest, RAY) == here
    ((runtime, place),) = sent
    assert runtime == RAY and tmp_path / "there" in (place, *place.parents)


def test_a_manifest_that_differs_there_is_refused(
    sent: list[Any], untrained_weights: Path, manifest: Manifest, tmp_path: Path
):
    (tmp_path / "m.csv").write_bytes(manifest.file.read_bytes())
    read = load_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path\nother.mp4\n")
    with refused("manifest.changed", "m.csv"):
        make_scores(tmp_path / "s", untrained_weights, read, RAY)


def test_the_command_line_says_how_actors_are(
    sent: list[Any], untrained_weights: Path, manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    on_ray = ["--engine", "ray", "--actors", "3", "--cpus-per-actor", "2", "--workers", "0", "--json"]
    words = ["score", "--weights", str(untrained_weights), "--manifest", str(manifest.file), "--views", "1"]
    words += ["--output", str(tmp_path / "s"), "--device", "cpu", "--gpus-per-actor", "0.5"]
    assert cli.main([*words, *on_ray]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 1
    out = tmp_path / "out.csv"
    words = ["manifest", "table", str(manifest.file), "--output", str(out), "--verify", "--exclude-duplicates"]
    assert cli.main([*words, *on_ray]) == 0
    places = [place for _, place in sent]
    assert places == [tmp_path / "s", tmp_path / "hashes", tmp_path / "out.files.csv.parts"]
    assert all((runtime.actors, runtime.cpus_per_actor, runtime.workers) == (3, 2, 0) for runtime, _ in sent)
    assert sent[0][0].gpus_per_actor == 0.5
    assert cli.main(["manifest", "table", str(manifest.file), "--output", str(out), *on_ray]) == 2
    assert "[manifest.unused_engine]" in capsys.readouterr().err
