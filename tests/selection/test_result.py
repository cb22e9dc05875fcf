"""A selection as frames, tables, targets and text for people."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data.batches import TableBatches
from vidsemi.data.joined import join
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import write_manifest
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo
from vidsemi.selection.score_reader import ScoreShard
from vidsemi.selection.select import select

CLASSES = ["eating", "fishing", "zumba"]


def selection_of(scores: np.ndarray, manifest: str = "m", per_example: int = 2, per_class: int = 2) -> Selection:
    """Of all probabilities, (N, classes), kept in memory."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :per_example]
    ids = np.repeat(np.arange(len(scores)), per_example)
    kept = ScoreRows(ids, order.reshape(-1).astype(np.int16), np.take_along_axis(scores, order, 1).reshape(-1))
    info = ScoresInfo(manifest, "w", CLASSES, per_example=per_example, views=1, examples=len(scores), shards=1)
    shard = ScoreShard("shard", 0, lambda: iter([kept]), len(kept))
    return select([shard], info, per_class=per_class, per_example=per_example)


SCORES = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.25, 0.6, 0.15]], np.float32)


def test_the_table_has_a_row_per_class_and_example():
    selection = selection_of(SCORES)
    assert len(selection) == 5
    assert selection.to_arrow().to_pydict() == {
        "class": ["eating", "eating", "fishing", "fishing", "zumba"],
        "label": [0, 0, 1, 1, 2],
        "rank": [0, 1, 0, 1, 0],
        "example_id": [0, 1, 3, 1, 2],
        "score": [pytest.approx(score) for score in (0.5, 0.4, 0.6, 0.35, 0.7)],
    }
    frame = selection.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.groupby("class")["rank"].max().to_dict() == {"eating": 1, "fishing": 1, "zumba": 0}


def test_columns_of_the_manifest_are_joined(tmp_path: Path):
    columns = {
        "path": ["a.mp4", "/b.mp4", "https://host/c.mp4", "d.mp4"],
        "label": ["zumba", None, None, "eating"],
        "start": [1.5, None, None, None],
    }
    write_manifest(tmp_path / "m.parquet", columns)
    manifest = Manifest.read(tmp_path / "m.parquet")
    frame = selection_of(SCORES, manifest.fingerprint).to_pandas(manifest)
    own = ["class", "label", "rank", "example_id", "score"]
    assert frame.columns.to_list() == [*own, "path", "manifest_label", "start"]
    here = str(tmp_path / "a.mp4"), str(tmp_path / "d.mp4")
    assert frame["path"].to_list() == [here[0], "/b.mp4", here[1], "/b.mp4", "https://host/c.mp4"]
    assert frame["manifest_label"].fillna("none").to_list() == ["zumba", "none", "eating", "none", "none"]
    assert frame["start"][0] == 1.5 and frame["start"].isna().sum() == 4


def test_paths_of_several_manifests_have_their_own_roots(tmp_path: Path):
    parts = []
    for name, paths in (("one", ["a.mp4"]), ("two", ["b.mp4", "c.mp4", "d.mp4"])):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name / "m.csv", {"path": paths})
        parts.append(Manifest.read(tmp_path / name / "m.csv"))
    manifest = join(parts)
    table = selection_of(SCORES, manifest.fingerprint).to_arrow(manifest)
    names = [str(Path(path).relative_to(tmp_path)) for path in table["path"].to_pylist()]
    assert names == ["one/a.mp4", "two/b.mp4", "two/d.mp4", "two/b.mp4", "two/c.mp4"]


@given(st.lists(st.integers(0, 29), max_size=60), st.lists(st.integers(1, 29), max_size=4))
def test_examples_are_taken_in_the_order_asked_for(ids: list[int], cuts: list[int]):
    """From tables of any chunks; against the row that each example is read with."""
    import pyarrow as pa

    ends = sorted({*cuts, 30})
    whole = pa.table({"path": [f"{number}.mp4" for number in range(30)], "start": np.arange(30.0)})
    table = pa.concat_tables([whole.slice(first, last - first) for first, last in zip([0, *ends], ends, strict=False)])
    manifest = Manifest(Path("m.csv"), Path("/root"), TableBatches(table), "f")
    taken = manifest.take(np.array(ids, np.int64)).to_pylist()
    assert taken == [{"path": (row := manifest.row(one)).path, "start": row.start} for one in ids]


def test_a_manifest_that_was_not_scored_is_refused(tmp_path: Path, write_csv: Callable[..., Path]):
    write_manifest(tmp_path / "m.csv", {"path": ["a.mp4"]})
    manifest = Manifest.read(tmp_path / "m.csv")
    with refused("selection.wrong_manifest", "m.csv"):
        selection_of(SCORES).to_arrow(manifest)
    with refused("selection.wrong_manifest", "m.csv"):  # a file by another program, with ids that are not there
        selection_of(SCORES, manifest.fingerprint).to_arrow(manifest)
    with refused("manifest.no_such_example", "m.csv"):
        manifest.take(np.array([0, 1]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 6))
def test_targets_sum_to_one_over_the_classes_that_selected_an_example(seed: int, per_example: int, per_class: int):
    scores = np.random.default_rng(seed).dirichlet(np.ones(3), 12).astype(np.float32)
    selection = selection_of(scores, per_example=per_example, per_class=per_class)
    ids, targets = selection.examples()
    assert targets.shape == (len(ids), 3) and targets.dtype == np.float32
    expected = pd.crosstab(selection.example_id, selection.label).reindex(columns=range(3), fill_value=0)
    assert ids.tolist() == expected.index.to_list()
    expected = expected.to_numpy() / expected.to_numpy().sum(1, keepdims=True)
    np.testing.assert_array_equal(targets.toarray(), expected.astype(np.float32))


def test_it_describes_itself():
    selection = selection_of(SCORES)
    found = selection.describe()
    assert (found["policy"], found["rows"], found["chosen"], found["short_classes"]) == (
        "balanced_ranked",
        5,
        4,
        ["zumba"],
    )
    assert [row["class"] for row in found["classes"]] == CLASSES
    assert any("zumba" in line for line in found["warnings"])
    assert repr(selection).startswith("balanced_ranked, per_class = 2, per_example = 2")


def test_a_file_gives_the_same_selection(tmp_path: Path):
    selection = selection_of(SCORES)
    selection.write(str(tmp_path / "new" / "s.parquet"))
    again = Selection.read(str(tmp_path / "new" / "s.parquet"))
    assert again.to_arrow().equals(selection.to_arrow())
    assert again.info == selection.info


def test_without_pandas_a_frame_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch):
    import pyarrow as pa

    def fails(table: pa.Table) -> None:
        raise ModuleNotFoundError("No module named 'pandas'")

    monkeypatch.setattr(Selection, "to_arrow", lambda self, manifest=None: type("T", (), {"to_pandas": fails})())
    with refused("selection.no_pandas", "pip install pandas"):
        selection_of(SCORES).to_pandas()
