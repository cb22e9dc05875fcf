"""Splits of datasets: which labels are kept, and which examples belong together because a pattern says so."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.config import Cut
from vidsemi.data.batches import TableBatches
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.split import HeldOut, group_numbers, groups_of, split_labeled, validation_split


def test_groups_of_files_and_of_members_of_tars(tmp_path: Path):
    """Some are inside a tar, which has a name of the same form, and some are files."""
    for name in ("shard_g9.tar", "b_g2.mp4"):
        (tmp_path / name).touch()
    rows = ["path,label,member,offset,size", "shard_g9.tar,x,a_g1.mp4,512,10", "b_g2.mp4,x,,,"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    manifest = load_manifest(tmp_path / "m.csv")
    assert groups_of(manifest, r"_(g\d)").tolist() == ["g1", "g2"]
    assert groups_of(manifest, None).tolist() == [0, 1]


def test_groups_of_a_column_and_of_parts_of_a_file(tmp_path: Path):
    rows = ["path,label,start,group", "a.mp4,x,0,", "b.mp4,x,0,", "a.mp4,x,5,", "c.mp4,x,0,7", "d.mp4,x,0,7"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    manifest = load_manifest(tmp_path / "m.csv")
    assert groups_of(manifest, None).tolist() == [0, 1, 0, 2, 2]
    assert manifest.row(3).path == str(tmp_path / "c.mp4")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=3), min_size=1))
def test_numbers_of_groups_are_in_the_order_of_their_names(names: list[str]):
    table = pa.table({"path": [f"<{name}>.mp4" for name in names]})
    manifest = Manifest(Path("m"), Path(), TableBatches(table), "")
    expected = np.unique(np.array(names, object), return_inverse=True)[1]
    assert group_numbers(manifest, "(?s)<(.*)>").tolist() == expected.tolist()
    assert groups_of(manifest, "(?s)<(.*)>").tolist() == names


def test_groups_take_few_bytes_of_each_example():
    paths = pa.array(np.arange(100_000) // 10).cast(pa.string())
    batches = pa.table({"path": pc.binary_join_element_wise(paths, ".mp4", "")}).to_batches(1000)
    manifest = Manifest(Path("m"), Path(), TableBatches(pa.Table.from_batches(batches)), "")
    for pattern in (r"(\d)\.", None):
        group_numbers(manifest, pattern)
        tracemalloc.start()
        group_numbers(manifest, pattern)
        assert tracemalloc.get_traced_memory()[1] < 2e6  # as texts they take 5 MB or more
        tracemalloc.stop()


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=1),
    st.one_of(st.builds(Cut, share=st.floats(0.01, 0.99)), st.builds(Cut, per_class=st.integers(1, 5))),
    st.integers(0, 9),
)
def test_groups_of_several_classes_are_whole_too(pairs: list[tuple[int, int]], cut: Cut, seed: int):
    labels, groups = (np.array(column) for column in zip(*pairs, strict=True))
    chosen = validation_split(labels, groups, cut, seed)
    assert all(len(set(chosen[groups == group].tolist())) == 1 for group in groups)
    for label in set(labels.tolist()):
        assert not chosen[labels == label].all()
    assert (chosen == validation_split(labels, groups, cut, seed)).all()


def test_a_number_per_class_and_classes_that_are_too_small(tmp_path: Path):
    labels = np.repeat([0, 1, 2, 3], [40, 5, 3, 1])
    chosen = validation_split(labels, np.arange(49), Cut(per_class=4), seed=0)
    assert np.bincount(labels[chosen]).tolist() == [4, 2, 1]
    (tmp_path / "m.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    with refused("split.no_validation", "m.csv"):
        HeldOut(Cut(share=0.5), 0).mask(load_manifest(tmp_path / "m.csv"))


@pytest.mark.parametrize("pattern", [r"_(h\d)", r"b|_(g\d)"])
def test_a_path_without_a_group_is_named(pattern: str, tmp_path: Path):
    """Otherwise all examples without a group would form one group."""
    for name in ("a_g1.mp4", "b_g2.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "m.csv").write_text("path,label\na_g1.mp4,x\nb_g2.mp4,x\n")
    with refused("split.group_mismatch", tmp_path / "m.csv", pattern, ".mp4"):
        groups_of(load_manifest(tmp_path / "m.csv"), pattern)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_a_class_is_drawn_whatever_the_others_are(sizes: list[int], seed: int):
    def split(sizes: list[int]) -> list[str]:
        scan = ScanResult()
        for number, size in enumerate(sizes):
            for place in range(size + 1):
                scan.add(path=f"{number}/{place}", label=str(number))
        labeled, unlabeled = split_labeled(scan, 1, seed)
        assert sorted(labeled.columns["path"] + unlabeled.columns["path"]) == sorted(scan.columns["path"])
        assert labeled.columns["label"] == [str(number) for number in range(len(sizes))]
        return labeled.columns["path"]

    assert split([*sizes, 4])[:-1] == split(sizes)


@pytest.mark.parametrize(
    ("labeled", "code"), [(0, "split.too_few_labels"), (3, "split.class_too_small"), (2, "split.none_unlabeled")]
)
def test_splits_that_cannot_be_made(labeled: int, code: str):
    scan = ScanResult(columns={"path": list("abc"), "label": list("xxx")}, missing=["d"], missing_what="files are odd")
    kept, _ = split_labeled(scan, 1, 0)
    assert (kept.missing, kept.missing_what) == (["d"], "files are odd")
    with refused(code):
        split_labeled(ScanResult(columns={"path": ["a", "b"], "label": ["x", "x"]}), labeled, 0)
