"""Which training examples belong together: what the pattern finds in members and paths, and what it must not."""

from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.data.groups import groups_of
from vidsemi.data.manifest import load_manifest


def test_of_examples_with_and_without_a_member(tmp_path: Path):
    """Some are inside a tar, which has a name of the same form, and some are files."""
    for name in ("shard_g9.tar", "b_g2.mp4"):
        (tmp_path / name).touch()
    rows = ["path,label,member,offset,size", "shard_g9.tar,x,a_g1.mp4,512,10", "b_g2.mp4,x,,,"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    manifest = load_manifest(tmp_path / "m.csv")
    assert groups_of(manifest, r"_(g\d)").tolist() == ["g1", "g2"]
    assert groups_of(manifest, None).tolist() == [0, 1]


@pytest.mark.parametrize("pattern", [r"_(h\d)", r"b|_(g\d)"])
def test_a_path_without_a_group_is_named(pattern: str, tmp_path: Path):
    """Examples that name no group would else be a group together."""
    for name in ("a_g1.mp4", "b_g2.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "m.csv").write_text("path,label\na_g1.mp4,x\nb_g2.mp4,x\n")
    with refused("transfer.group_mismatch", tmp_path / "m.csv", pattern, ".mp4"):
        groups_of(load_manifest(tmp_path / "m.csv"), pattern)
