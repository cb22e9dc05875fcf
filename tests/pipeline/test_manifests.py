"""stage.json says where the manifests and scores of a stage are."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.data.joined import join
from vidsemi.data.manifest import load_manifest
from vidsemi.pipeline.manifests import manifest_places, read_manifest, score_folders
from vidsemi.pipeline.stages import EvaluateStage


def write_stage(folder: Path, **record: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "stage.json").write_text(json.dumps({"status": "running", "fields": {}, **record}))
    return folder


@pytest.mark.slow
def test_a_report_finds_the_manifests_of_a_run_wherever_it_is_copied_to(
    finished_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = Path(shutil.copytree(finished_run, tmp_path / "copy"))
    monkeypatch.chdir(tmp_path)
    for run in (finished_run, copy, Path("copy")):
        select, test = run / "seed5/teacher/select", run / "seed0/teacher/evaluate"
        (scores,) = score_folders(select)
        assert scores == run.absolute() / "seed0/teacher/score" or scores == run.absolute() / "seed5/teacher/score"
        assert read_manifest(scores, "unlabeled").file == shapes / "unlabeled.csv"
        assert read_manifest(test, "test").row(0).path == load_manifest(shapes / "test.csv").row(0).path


def test_roots_and_several_manifests_are_kept(tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"path,label\n{name}.mp4,x\n")
    one = load_manifest(tmp_path / "a.csv", tmp_path / "data")
    both = join([one, load_manifest(tmp_path / "b.csv")])
    for manifest in (one, both):
        stage = EvaluateStage(weights=None, test=manifest, views=1)  # type: ignore[arg-type]
        folder = write_stage(tmp_path / str(len(manifest)), fields=stage.document, manifests=manifest_places(stage))
        again = read_manifest(folder, "test")
        assert [again.row(i).path for i in range(len(again))] == [manifest.row(i).path for i in range(len(manifest))]
        assert again.fingerprint == manifest.fingerprint
    (tmp_path / "b.csv").write_text("path,label\nc.mp4,x\n")
    with refused("stage.other_manifest", "b.csv"):
        read_manifest(folder, "test")
    (tmp_path / "b.csv").unlink()
    with refused("manifest.missing_file", "b.csv"):
        read_manifest(folder, "test")


def test_stages_of_earlier_versions_and_other_folders_are_refused(tmp_path: Path):
    old = write_stage(tmp_path / "old", fields={"test": "0" * 64}, stage="old")
    with refused("stage.no_manifest", "old", "test"):
        read_manifest(old, "test")
    with refused("stage.no_scores", "old"):
        score_folders(old)
    with refused("stage.no_record", "nowhere"):
        read_manifest(tmp_path / "nowhere", "test")
    moved = write_stage(tmp_path / "moved", fields={"scores": ["1"]}, stage="seed0/select", inputs={"seed0/score": "1"})
    with refused("stage.no_scores", "moved"):
        score_folders(moved)
