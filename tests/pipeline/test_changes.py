"""A finished run whose config changes: what runs again, what is kept, and that it equals a run from scratch."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.builders import write_shard
from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.config import Config
from vidsemi.data.joined import join
from vidsemi.data.manifest import load_manifest
from vidsemi.data.read import read_frames
from vidsemi.io.files import write_json
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.changes import Changes
from vidsemi.pipeline.select import select_scores
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoresInfo

LoadConfig = Callable[..., Config]
ONE = "seeds=[0]"


def results(output: Path) -> dict[str, bytes]:
    """The files that hold results, not those with times in them."""
    names = ("weights.pt", "selection.parquet", "results.json", "classes.csv", "part-*.parquet")
    return {str(file.relative_to(output)): file.read_bytes() for name in names for file in output.rglob(name)}


def written(output: Path) -> dict[str, int]:
    return {str(file.parent.relative_to(output)): file.stat().st_mtime_ns for file in output.rglob("stage.json")}


@pytest.fixture
def finished(load: LoadConfig, finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of one seed."""
    output = Path(load().output)
    shutil.copytree(finished_run, output, ignore=shutil.ignore_patterns("seed5"))
    rows = json.loads((output / "results.json").read_text())
    write_json(output / "results.json", [row for row in rows if row["seed"] == 0])
    return output


@pytest.mark.slow
def test_another_per_class_runs_select_and_what_follows_again(load: LoadConfig, finished: Path, tmp_path: Path):
    """Also if it is killed in between: the same command resumes. All files equal those of a run from scratch."""
    changed = load(ONE, "select.per_class=2")
    again = [f"seed0/{name}" for name in ("teacher/select", "small/semi_supervised/pretrain")]
    with refused(
        "stage.different_config", "per_class was 3, is now 2", "--overwrite select", "--reuse", "4 stages", *again
    ):
        pipeline.run(changed)
    with refused("stage.different_config", "--overwrite select"):
        pipeline.check(changed, overwrite=["evaluate", "finetune"])
    before = written(finished)
    states = pipeline.check(changed, overwrite=["select"])[0]["stages"]
    assert [name for name, state in states.items() if state == "again"] == [
        *again,
        "seed0/small/semi_supervised/finetune",
        "seed0/small/semi_supervised/evaluate",
    ]
    assert written(finished) == before
    pipeline.run(changed, until="select", overwrite=["select"])
    assert not list(finished.glob("seed0/small/semi_supervised/*/weights.pt"))
    assert {row["approach"] for row in json.loads((finished / "results.json").read_text())} == {"teacher", "supervised"}
    pipeline.run(changed, overwrite=["select"])
    after = written(finished)
    assert {name for name in before if after[name] == before[name]} == {
        *("seed0/teacher/train", "seed0/teacher/evaluate", "seed0/teacher/score", "seed0/small/supervised/evaluate"),
        *(name for name in before if name == "seed0/small/supervised/train"),
    } & before.keys()
    pipeline.run(load(ONE, "select.per_class=2", f"output={tmp_path}/scratch"))
    assert results(finished) == results(tmp_path / "scratch")


@pytest.mark.slow
def test_a_deletion_that_is_killed_leaves_no_half_a_stage(
    load: LoadConfig, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed while the third of four folders is deleted; then the config goes back to what it was."""
    removed: list[str] = []
    unlink = Path.unlink

    def dies(path: Path, **more: bool) -> None:
        if path.name == "weights.pt":
            removed.append(path.parent.name)
            if len(removed) == 2:
                raise KeyboardInterrupt
        unlink(path, **more)

    before = results(finished)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(load(ONE, "select.per_class=2"), overwrite=["select"])
    assert removed == ["finetune", "pretrain"]
    pipeline.run(load(ONE))
    assert results(finished) == before


@pytest.mark.slow
def test_another_test_set_only_tests_again(load: LoadConfig, finished: Path, shapes: Path, tmp_path: Path):
    header, *rows = (shapes / "test.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([header, *(f"{shapes}/{row}" for row in rows[:7])]))
    changed = load(ONE, f"data.test={tmp_path}/t.csv")
    with refused("stage.different_config", "--overwrite evaluate to"):
        pipeline.run(changed)
    before = written(finished)
    rows = pipeline.run(changed, overwrite=["evaluate"])
    assert {row["total"] for row in rows} == {7} and len(rows) == 3
    assert {name for name, time in written(finished).items() if time != before[name]} == {
        name for name in before if name.endswith("evaluate")
    }


@pytest.mark.slow
def test_another_output_takes_over_what_still_holds(load: LoadConfig, finished_run: Path, tmp_path: Path):
    """The first output is untouched, and may be deleted."""
    first = Path(shutil.copytree(finished_run, tmp_path / "first"))
    before = results(first)
    changed = load(ONE, "select.per_class=2", f"output={tmp_path}/second")
    states = pipeline.check(changed, reuse=[first])[0]["stages"]
    assert states["seed0/teacher/score"] == states["seed0/teacher/train"] == "reuse"
    assert states["seed0/teacher/select"] == states["seed0/small/semi_supervised/evaluate"] == "to do"
    pipeline.run(changed, until="select", reuse=[first])
    assert (tmp_path / "second/seed0/teacher/score/part-000000.parquet").stat().st_nlink == 2
    record = json.loads((tmp_path / "second/seed0/teacher/score/stage.json").read_text())
    assert record["reused_from"] == str(first / "seed0/teacher/score") and record["status"] == "done"
    assert results(first) == before
    shutil.rmtree(first)
    pipeline.run(changed)
    pipeline.run(load(ONE, "select.per_class=2", f"output={tmp_path}/scratch"))
    assert results(tmp_path / "second") == results(tmp_path / "scratch")


@pytest.mark.slow
def test_half_a_stage_is_not_taken_over_and_links_are_not_needed(
    load: LoadConfig, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = Path(shutil.copytree(finished_run, tmp_path / "first"))
    file = first / "seed0/teacher/score/stage.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "running"}))

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    config = load(ONE, f"output={tmp_path}/second")
    assert pipeline.check(config, reuse=[first])[0]["stages"]["seed0/teacher/score"] == "to do"
    monkeypatch.setattr("os.link", no_links)
    rows = pipeline.run(config, reuse=[first])
    assert rows == [row for row in json.loads((finished_run / "results.json").read_text()) if row["seed"] == 0]
    with refused("reuse.no_stages", "--reuse", tmp_path / "nowhere"):
        pipeline.check(config, reuse=[tmp_path / "nowhere"])


def test_stages_that_do_not_exist_are_refused(tiny_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["run", "--cfg", str(tiny_config()), "--check", "--overwrite", "selekt"]) == 2
    assert_refused(capsys.readouterr().err, "run.unknown_stage", "selekt", "overwrite", "select")


def cut_unlabeled(shapes: Path, folder: Path) -> list[Path]:
    """The unlabeled set in two manifests with different roots and columns, and in one."""
    header, *rows = (shapes / "unlabeled.csv").read_text().splitlines()
    folder.mkdir(exist_ok=True)
    (shapes / "first_part.csv").write_text("\n".join([header, *rows[:31]]) + "\n")
    (folder / "second.csv").write_text(
        "\n".join(["path", *(f"{shapes}/{row.split(',')[0]}" for row in rows[31:])]) + "\n"
    )
    return [shapes / "first_part.csv", folder / "second.csv", shapes / "unlabeled.csv"]


@pytest.mark.slow
def test_a_grown_unlabeled_set_keeps_the_scores_of_its_old_rows(load: LoadConfig, shapes: Path, tmp_path: Path):
    first, second, whole = cut_unlabeled(shapes, tmp_path / "u")
    small = load(ONE, f"data.unlabeled={first}", "score.shard_size=10")
    pipeline.run(small)
    output = Path(small.output)
    scores = {file.name: file.stat().st_mtime_ns for file in (output / "seed0/teacher/score").glob("part-*.parquet")}
    grown = load(ONE, f"data.unlabeled=[{first},{second}]", "score.shard_size=10")
    with refused("stage.different_config", "--overwrite select"):
        pipeline.check(grown)
    pipeline.run(grown, overwrite=["select"])
    assert {
        file.name: file.stat().st_mtime_ns for file in (output / "seed0/teacher/score").glob("part-*.parquet")
    } == scores
    assert len(list((output / "seed0/teacher").glob("score-*/part-*.parquet"))) == 3

    scratch = load(ONE, f"data.unlabeled=[{first},{second}]", "score.shard_size=10", f"output={tmp_path}/scratch")
    pipeline.run(scratch)
    for name in ("teacher/select/selection.parquet", "small/semi_supervised/finetune/weights.pt"):
        assert (output / "seed0" / name).read_bytes() == (tmp_path / "scratch/seed0" / name).read_bytes()

    one = load(ONE, f"data.unlabeled={whole}", "score.shard_size=10", f"output={tmp_path}/one")  # the same rows at once
    pipeline.run(one, until="select")
    ours, theirs = (
        Selection.read(folder / "seed0/teacher/select/selection.parquet") for folder in (output, tmp_path / "one")
    )
    for column in ("label", "rank", "example_id", "score"):
        assert np.array_equal(getattr(ours, column), getattr(theirs, column)), column
    assert ours.info.scores.examples == 52 and ours.info.scored == theirs.info.scored

    document, _ = pipeline.check(load(ONE, f"data.unlabeled=[{first},{whole}]", f"output={tmp_path}/two"))
    assert document["unlabeled"] == 83
    assert any(one.startswith("data.unlabeled.1: 31 of 52 examples") for one in document["warnings"])


def test_rows_of_a_joined_manifest(shapes: Path, tmp_path: Path):
    first, second, whole = (load_manifest(file) for file in cut_unlabeled(shapes, tmp_path))
    joined = join([first, second])
    assert len(joined) == len(whole) == 52
    for example_id in (0, 30, 31, 51):
        row = joined.row(example_id)
        assert row.example_id == example_id
        assert Path(row.path).samefile(whole.row(example_id).path)
    assert read_frames(joined.row(40), lambda n: np.arange(1), size=(8, 8)).shape == (1, 3, 8, 8)
    assert join([first]) is first
    assert joined.fingerprint != join([second, first]).fingerprint


def test_scores_of_several_directories_are_one(tmp_path: Path):
    """Ids and shards go on; failures move along; directories that were scored otherwise are refused."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5] * 4, 40).astype(np.float32)
    classes = ["a", "b", "c", "d"]

    def info(manifest: str, examples: int, **more: object) -> ScoresInfo:
        shards = -(-examples // 10)
        return ScoresInfo(manifest, "w", classes, 2, 1, examples=examples, shards=shards, shard_size=10, **more)  # type: ignore[arg-type]

    for name, rows in {"whole": range(40), "one": range(20), "two": range(20, 40)}.items():
        for number, start in enumerate(range(0, len(rows), 10)):
            ids = np.arange(start, start + 10)
            write_shard(tmp_path / name, number, ids, probabilities[rows[0] + ids], info(name, len(rows)))
    rule = {"per_class": 5, "per_example": 2}
    whole = select_scores(tmp_path / "w.parquet", [tmp_path / "whole"], **rule)  # type: ignore[arg-type]
    both = select_scores(tmp_path / "b.parquet", [tmp_path / "one", tmp_path / "two"], complete=True, **rule)  # type: ignore[arg-type]
    assert both == whole
    ours, theirs = Selection.read(tmp_path / "b.parquet"), Selection.read(tmp_path / "w.parquet")
    for column in ("label", "rank", "example_id", "score"):
        assert np.array_equal(getattr(ours, column), getattr(theirs, column))
    (tmp_path / "two/part-000001.parquet").unlink()
    with refused("select.incomplete_scores", "shards 3"):
        select_scores(tmp_path / "b.parquet", [tmp_path / "one", tmp_path / "two"], complete=True, **rule)  # type: ignore[arg-type]
    write_shard(tmp_path / "three", 0, np.arange(10), probabilities[:10], info("three", 10, crop=7))
    write_shard(tmp_path / "four", 0, np.arange(10), probabilities[:10], info("four", 10, crop=8))
    with refused("scores.mismatch", tmp_path / "three", tmp_path / "four", "'crop'"):
        select_scores(tmp_path / "b.parquet", [tmp_path / "three", tmp_path / "four"], **rule)  # type: ignore[arg-type]


def test_the_state_of_a_stage_is_said_once():
    class Named:
        fingerprint = "f"

    for changes, state in [
        (Changes({"f": {}}, [], {}), "done"),
        (Changes({}, ["f"], {}), "again"),
        (Changes({}, ["f"], {"f": "x"}), "reuse"),
        (Changes({}, [], {}), "to do"),
    ]:
        assert changes.state(Named()) == state  # type: ignore[arg-type]
