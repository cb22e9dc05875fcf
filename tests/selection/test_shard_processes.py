"""Many small shards are read by several processes: the same selection and the same errors as by one thread."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.helpers.builders import write_shard
from tests.selection.test_score_files import info
from vidsemi.io.errors import UserError
from vidsemi.selection import scan
from vidsemi.selection.joined_scores import join_scores
from vidsemi.selection.result import Selection
from vidsemi.selection.score_writer import top_classes
from vidsemi.selection.select import select

pytestmark = pytest.mark.slow

CLASSES, PER_EXAMPLE, PER_CLASS = 4, 2, 30
PARTS, EXAMPLES = 60, 10  # examples of a part


@pytest.fixture
def scores(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A directory of scores, and what was scored, (examples, classes)."""
    rng = np.random.default_rng(0)
    drawn = np.round(rng.dirichlet(np.ones(CLASSES), PARTS * EXAMPLES), 2).astype(np.float32)  # with ties
    for number in range(PARTS):
        ids = np.arange(number * EXAMPLES, (number + 1) * EXAMPLES)
        write_shard(tmp_path / "scores", number, ids, drawn[ids], info(CLASSES, PER_EXAMPLE))
    return tmp_path / "scores", drawn


def select_by(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    threads: int,
    processes: int,
    progress: Callable[[], object] = lambda: None,
) -> Selection:
    monkeypatch.setattr(scan, "_readers", lambda *_: (threads, processes))
    joined = join_scores([folder])
    return select(joined.shards, joined.info, per_class=PER_CLASS, per_example=PER_EXAMPLE, progress=progress)


def columns(selection: Selection) -> list[tuple[int, int, float]]:
    return [*zip(selection.label.tolist(), selection.example_id.tolist(), selection.score.tolist(), strict=True)]


def test_processes_select_what_a_sort_of_all_rows_gives(
    scores: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    folder, drawn = scores
    ticks: list[int] = []
    chosen = select_by(monkeypatch, folder, 1, 2, lambda: ticks.append(1))
    labels, tops = top_classes(drawn, PER_EXAMPLE)
    rows = [
        (int(label), -float(score), example)
        for example in range(len(drawn))
        for label, score in zip(labels[example], tops[example], strict=True)
    ]
    expected = [
        (label, example, -score)
        for number in range(CLASSES)
        for label, score, example in sorted(row for row in rows if row[0] == number)[:PER_CLASS]
    ]
    assert columns(chosen) == expected
    assert len(ticks) == PARTS
    assert chosen.info == select_by(monkeypatch, folder, 1, 0).info


def test_errors_of_a_process_are_those_of_a_thread(scores: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    """A damaged file; and an example in two shards, which only the process that started the others can see."""
    folder, drawn = scores
    ids = np.arange(5, 5 + EXAMPLES)  # half of them in shards 0 and 1
    write_shard(folder, PARTS, ids, drawn[ids], info(CLASSES, PER_EXAMPLE))
    found = [refused(monkeypatch, folder, *readers) for readers in ((1, 0), (0, 1))]
    assert found[0] == found[1] and found[0][0] == "scores.example_twice"
    damaged = folder / "part-000040.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    found = [refused(monkeypatch, folder, *readers) for readers in ((1, 0), (0, 1))]
    assert found[0] == found[1] and found[0][0] == "scores.invalid_shard" and damaged.name in found[0][1]


def refused(monkeypatch: pytest.MonkeyPatch, folder: Path, threads: int, processes: int) -> tuple[str, str]:
    with pytest.raises(UserError) as error:
        select_by(monkeypatch, folder, threads, processes)
    return error.value.code, str(error.value)


def processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_killed_process_is_one_line(scores: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    def kill() -> None:
        for child in processes():
            child.kill()
            child.wait()

    with pytest.raises(UserError, match="per_class") as error:
        select_by(monkeypatch, scores[0], 0, 1, kill)
    assert error.value.code == "select.process_killed"


def test_ctrl_c_leaves_no_process(scores: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_by(monkeypatch, scores[0], 1, 1, interrupt)
    assert not processes()


def test_small_shards_are_read_by_processes_if_they_are_many(
    scores: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    folder, _ = scores
    shards = join_scores([folder]).shards
    top = scan.TopPerClass(np.full(CLASSES, PER_CLASS), 1000)
    monkeypatch.setattr(scan, "PROCESSES_FROM", PARTS + 1)
    assert scan._readers(shards, 4, top) == (1, 0)
    monkeypatch.setattr(scan, "PROCESSES_FROM", PARTS)
    assert scan._readers(shards, 4, top) == (1, 3)
    assert scan._readers(shards, 64, top) == (1, 7)
    assert scan._readers(shards, 4, scan.TopPerClass(np.full(CLASSES, 3), 9, lambda ids, labels: ids)) == (1, 0)
    monkeypatch.setattr(scan, "SMALL", 100)
    assert scan._readers(shards, 4, top) == (4, 0)
