"""CPU quotas of containers, from files as the kernel shows them in cgroup v1 and v2."""

import os
from pathlib import Path

import pytest

from vidsemi.cli import main as cli
from vidsemi.runtime import process
from vidsemi.runtime.process import usable_cores
from vidsemi.runtime.quota import cpu_quota

V2 = "30 24 0:26 {root} {mount} rw,nosuid,nodev - cgroup2 cgroup rw,nsdelegate"
V1 = "33 25 0:29 {root} {mount} rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
OTHERS = ["22 1 8:1 / / rw - ext4 /dev/sda1 rw", "34 25 0:30 / /nowhere rw - cgroup cgroup rw,memory"]


def quota(folder: Path, groups: str, mounts: list[str], **files: str) -> float | None:
    """The quota that files below `folder` say; `cpu_max__a__b` is the file `a/b/cpu.max`."""
    for name, text in files.items():
        kind, *where = name.split("__")
        file = folder.joinpath("mnt", *where, {"cpu_max": "cpu.max"}.get(kind, f"cpu.{kind}"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text("\n".join([*OTHERS, *mounts]) + "\n")
    return cpu_quota(folder / "cgroup", folder / "mountinfo")


def mount(line: str, folder: Path, root: str = "/") -> str:
    return line.format(root=root, mount=folder / "mnt")


@pytest.mark.parametrize(
    ("text", "expected"), [("200000 100000\n", 2.0), ("150000 100000", 1.5), ("max 100000\n", None), ("junk", None)]
)
def test_version_2_in_a_container(tmp_path: Path, text: str, expected: float | None):
    assert quota(tmp_path, "0::/\n", [mount(V2, tmp_path)], cpu_max=text) == expected


def test_the_smallest_quota_of_nested_groups_counts(tmp_path: Path):
    """A job step of systemd or Slurm: its own group may have more than a parent."""
    files = {"cpu_max__a": "300000 100000", "cpu_max__a__b": "max 100000", "cpu_max__a__b__c": "800000 100000"}
    assert quota(tmp_path, "0::/a/b/c\n", [mount(V2, tmp_path)], **files) == 3.0
    assert quota(tmp_path, "0::/a/b/gone\n", [mount(V2, tmp_path)], **files) == 3.0
    assert quota(tmp_path, "0::/elsewhere\n", [mount(V2, tmp_path)], **files) is None


def test_a_mount_that_shows_the_own_group_as_its_root(tmp_path: Path):
    """Docker without a cgroup namespace: the path of the process is that on the host."""
    files = {"cfs_quota_us": "400000\n", "cfs_period_us": "100000\n"}
    groups = "12:memory:/docker/1a\n5:cpu,cpuacct:/docker/1a\n1:name=systemd:/docker/1a\n"
    assert quota(tmp_path, groups, [mount(V1, tmp_path, "/docker/1a")], **files) == 4.0
    assert quota(tmp_path, groups, [mount(V1, tmp_path, "/docker/1b")], **files) == 4.0  # another one is not seen


def test_version_1_nested_and_unlimited(tmp_path: Path):
    files = {"cfs_quota_us": "-1", "cfs_period_us": "100000"}
    groups = "5:cpuacct,cpu:/a\n0::/\n"
    assert quota(tmp_path, groups, [mount(V1, tmp_path)], **files) is None
    files |= {"cfs_quota_us__a": "50000", "cfs_period_us__a": "100000"}
    assert quota(tmp_path, groups, [mount(V1, tmp_path)], **files) == 0.5


def test_a_group_outside_of_the_container_or_a_mount_with_a_space(tmp_path: Path):
    folder = tmp_path / "with space"
    folder.mkdir()
    line = mount(V2, folder).replace(" space", "\\040space")
    assert quota(folder, "0::/../other\n", [line], cpu_max="100000 50000") == 2.0


@pytest.mark.parametrize("text", ["", "nonsense", "1:2\n"])
def test_without_the_files_there_is_no_quota(tmp_path: Path, text: str):
    assert cpu_quota(tmp_path / "gone", tmp_path / "gone") is None
    (tmp_path / "odd").write_text(text)
    assert cpu_quota(tmp_path / "odd", tmp_path / "odd") is None


@pytest.mark.parametrize(("allowed", "expected"), [(None, 8), (0.5, 1), (2.0, 2), (2.5, 3), (100.0, 8)])
def test_cores_are_those_of_the_quota(
    monkeypatch: pytest.MonkeyPatch, allowed: float | None, expected: int, capsys: pytest.CaptureFixture[str]
):
    """Also for OpenMP's threads, unless the user has chosen their number."""
    monkeypatch.setattr(process, "cpu_quota", lambda: allowed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    process.allowed_cpus.cache_clear()
    try:
        assert usable_cores() == expected
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert cli.main(["manifest"]) == 2
        assert os.environ.get("OMP_NUM_THREADS") == (None if expected == 8 else str(expected))
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        assert cli.main(["manifest"]) == 2
        assert os.environ["OMP_NUM_THREADS"] == "7"
    finally:
        process.allowed_cpus.cache_clear()
