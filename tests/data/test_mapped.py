"""Copies of manifests that processes map into memory: the rows of a plain reading, whatever happens to the copy."""

import errno
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data import mapped
from vidsemi.data.class_names import class_name
from vidsemi.data.joined import join
from vidsemi.data.manifest import Manifest, Row, load_manifest
from vidsemi.data.manifest_file import COLUMNS, read_batches, write_manifest
from vidsemi.data.mapped import MappedBatches
from vidsemi.io import parquet

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)
VALUES = {
    pa.string(): st.none() | TEXTS,
    pa.float64(): st.none() | st.floats(0, 1e6),
    pa.int64(): st.none() | st.integers(0, 2**40),
}
ROWS = st.fixed_dictionaries(
    {"path": TEXTS}, optional={name: VALUES[kind] for name, kind in COLUMNS.items() if name != "path"}
)


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every manifest is mapped; returns the folder of the copies."""
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(mapped, "SETTLED", 0)
    monkeypatch.setattr(mapped, "ROWS", 4)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vidsemi" / f"manifests-{os.getuid()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A manifest of ten examples."""
    write_manifest(tmp_path / "m.parquet", {"path": [f"{n}.mp4" for n in range(10)], "label": [*"abcde"] * 2})
    return tmp_path / "m.parquet"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=30), st.sampled_from([".csv", ".parquet"]), st.data())
def test_a_mapped_manifest_is_the_plain_one(
    copies: Path, tmp_path: Path, rows: list[dict[str, Any]], suffix: str, data: st.DataObject
):
    names = ["path", *(name for name in COLUMNS if name != "path" and any(name in row for row in rows))]
    file = tmp_path / f"m{suffix}"
    write_manifest(file, {name: [row.get(name) for row in rows] for name in names})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LARGE", 1 << 30)
        held = load_manifest(file)
    own = load_manifest(file)
    assert isinstance(own.batches, MappedBatches)
    assert not isinstance(held.batches, MappedBatches)
    assert own.table.equals(held.table)
    assert own.fingerprint == held.fingerprint
    assert [own.row(n) for n in range(len(rows))] == [held.row(n) for n in range(len(rows))]
    ids = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), np.int64)
    assert own.take(ids).equals(held.take(ids))
    first, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))
    assert own.batches.slice(range(first, stop)).equals(held.table.slice(first, stop - first))
    expected = [{name: row.get(name) for name in names} for row in rows]
    for row in expected:
        row |= {"label": class_name(row["label"] or "") or None} if "label" in row else {}
    assert own.table.to_pylist() == expected
    for one in (own, join([own, own])):
        again = pickle.loads(pickle.dumps(one))
        assert again.table.equals(one.table)
        assert len(pickle.dumps(one)) < 2000


def test_rows_that_are_not_there(copies: Path, file: Path):
    manifest = load_manifest(file)
    for number in (-1, 10):
        with pytest.raises(IndexError):
            manifest.row(number)
    with refused("manifest.no_such_example", "0 to 9"):
        manifest.take(np.array([10]))


def test_a_list_is_not_a_text(copies: Path, tmp_path: Path):
    pq.write_table(pa.table({"path": ["a"], "hashtags": [["x"]], "other": [["y"]]}), tmp_path / "m.parquet")
    with refused("manifest.wrong_type", "m.parquet"):
        load_manifest(tmp_path / "m.parquet")
    pq.write_table(pa.table({"path": ["a"], "other": [["y"]]}), tmp_path / "m.parquet")
    assert load_manifest(tmp_path / "m.parquet").columns == ["path"]


def test_a_changed_manifest_is_read_again(copies: Path, file: Path):
    before = load_manifest(file)
    state = file.stat()
    write_manifest(file, {"path": [f"{n}.mkv" for n in range(10)], "label": [*"abcde"] * 2})
    assert file.stat().st_size == state.st_size
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a program that copies times does
    assert load_manifest(file).row(3).path.endswith("3.mkv")
    assert before.row(3).path.endswith("3.mp4")  # as it was read
    assert len([*copies.glob("*.arrow")]) == 2


def damaged(copies: Path) -> Iterator[bytes]:
    """What may have become of a copy."""
    (copy,) = copies.glob("*.arrow")
    content = copy.read_bytes()
    for cut in (0, 1, 15, len(content) // 2, len(content) - 1):
        yield content[:cut]
    yield content + b"more"
    for place in range(0, len(content), 97):
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_a_damaged_copy_is_made_again(copies: Path, file: Path, caplog: pytest.LogCaptureFixture):
    expected = load_manifest(file).table.to_pydict()
    (copy,) = copies.glob("*.arrow")
    for content in damaged(copies):
        copy.unlink()  # another process may still map it
        copy.write_bytes(content)
        caplog.clear()
        assert load_manifest(file).table.to_pydict() == expected
        assert f"{copy} is damaged" in caplog.text
        assert load_manifest(file).row(9).path.endswith("9.mp4")


def test_a_copy_that_turns_out_to_be_damaged_after_a_change(copies: Path, file: Path):
    manifest = load_manifest(file)
    (copy,) = copies.glob("*.arrow")
    with open(copy, "rb+") as stream:
        stream.seek(copy.read_bytes().rindex(b"5.mp4"))
        stream.write(b"6")
    assert manifest.row(0).path.endswith("0.mp4")  # another batch
    write_manifest(file, {"path": [f"{n}.mkv" for n in range(10)]})
    with refused("manifest.changed", "m.parquet"):
        manifest.row(5)
    with refused("manifest.changed", "m.parquet"):
        pickle.loads(pickle.dumps(manifest))


def test_another_process_without_the_copy(copies: Path, file: Path):
    content = pickle.dumps(manifest := load_manifest(file))
    next(copies.glob("*.arrow")).unlink()
    assert pickle.loads(content).table.equals(manifest.table)


def test_a_folder_that_others_can_write(copies: Path, file: Path, caplog: pytest.LogCaptureFixture):
    copies.mkdir(parents=True)
    copies.chmod(0o777)
    manifest = load_manifest(file)
    assert not isinstance(manifest.batches, MappedBatches)
    assert manifest.row(9).path.endswith("9.mp4")
    assert "other users can write" in caplog.text
    assert not [*copies.iterdir()]


def test_a_user_without_a_home(
    copies: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv("FVCORE_CACHE")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as in a container with any user id
    assert load_manifest(file).row(9).path.endswith("9.mp4")
    assert "FVCORE_CACHE" in caplog.text


def test_a_full_disk_is_one_line(
    copies: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert load_manifest(file).row(9).path.endswith("9.mp4")
    (record,) = caplog.records[-1:]
    assert "No space left on device" in record.getMessage()
    assert "FVCORE_CACHE" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert not [*copies.iterdir()]


def test_copies_of_manifests_that_are_gone_are_removed(copies: Path, file: Path, tmp_path: Path):
    load_manifest(file)
    (old,) = copies.glob("*.arrow")
    days = 86_400

    def exists(age: float) -> bool:
        """Whether the copy still exists when another one is made, if it was last opened so many seconds ago."""
        os.utime(old, (time.time() - age,) * 2)
        write_manifest(tmp_path / f"{age}.parquet", {"path": ["a"]})
        load_manifest(tmp_path / f"{age}.parquet")
        return old.exists()

    assert exists(13 * days)
    file.unlink()
    assert exists(0.9 * days)
    assert not exists(1.1 * days)


def test_unused_copies_are_removed(copies: Path, file: Path, tmp_path: Path):
    load_manifest(file)
    (old,) = copies.glob("*.arrow")
    os.utime(old, (0, 0))
    write_manifest(tmp_path / "other.parquet", {"path": ["a"]})
    load_manifest(tmp_path / "other.parquet")
    assert not old.exists()


START = """
import logging, sys
from vidsemi.data import mapped
from vidsemi.data.class_names import class_name
from vidsemi.data.manifest import load_manifest
mapped.LARGE = mapped.SETTLED = 0
logging.basicConfig(level=logging.INFO)
print("ready", flush=True)
input()
manifest = load_manifest(mapped.Path(sys.argv[1]))
print(len(manifest), manifest.row(len(manifest) - 1).path, flush=True)
"""


def started(file: Path) -> subprocess.Popen[str]:
    """A process that reads a manifest once it is told to."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", START, file], text=True, **pipes)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_processes_that_start_at_once_make_one_copy(copies: Path, tmp_path: Path):
    write_manifest(tmp_path / "m.parquet", {"path": [f"{n}.mp4" for n in range(200_000)]})
    processes = [started(tmp_path / "m.parquet") for _ in range(3)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    results = [process.communicate(timeout=300) for process in processes]
    assert {out for out, _ in results} == {f"200000 {tmp_path}/199999.mp4\n"}
    assert sum(error.count("copying its rows, once") for _, error in results) == 1
    assert len([*copies.iterdir()]) == 1


def test_a_killed_process_leaves_no_copy(copies: Path, file: Path):
    """Killed while it writes; the next one makes the copy."""
    pid = os.fork()
    if pid == 0:
        os.fsync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        load_manifest(file)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert not [*copies.glob("*.arrow")]
    assert load_manifest(file).row(9).path.endswith("9.mp4")
    assert len([*copies.glob("*.arrow")]) == 1


_held: list[Manifest] = []


def row_of_parent(number: int) -> Row:
    """A row of the manifest that a forked process has from its parent."""
    return _held[-1].row(number)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same_rows(copies: Path, file: Path, method: str):
    manifest = load_manifest(file)
    expected = [manifest.row(number) for number in (3, 7, 9)]
    _held.append(manifest)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(row_of_parent if method == "fork" else manifest.row, (3, 7, 9)) == expected


def test_reading_keeps_no_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "WHOLE", 0)
    names = np.random.default_rng(0).integers(0, 2**62, 400_000).astype(str)
    pq.write_table(pa.table({"path": names}), tmp_path / "m.parquet", row_group_size=10_000)
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_batches(tmp_path / "m.parquet"):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < (tmp_path / "m.parquet").stat().st_size / 2


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs the kernel's account of mapped pages")
def test_few_pages_of_a_copy_stay_mapped(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mapped, "ROWS", 1000)
    monkeypatch.setattr(mapped, "RELEASED", 1 << 19)
    write_manifest(tmp_path / "m.parquet", {"path": [f"{n:0200d}.mp4" for n in range(20_000)]})
    manifest = load_manifest(tmp_path / "m.parquet")
    (copy,) = copies.glob("*.arrow")

    def mapped_bytes() -> int:
        of_copy = Path("/proc/self/smaps").read_text().partition(str(copy))[2]
        return 1024 * int(of_copy.partition("\nRss:")[2].split()[0])

    most = 0
    for batch in manifest.batches:
        assert batch.column("path").to_numpy(zero_copy_only=False)[-1].endswith(".mp4")
        most = max(most, mapped_bytes())
    for place, number in enumerate(np.random.default_rng(0).permutation(20_000)[:200].tolist()):
        assert manifest.row(number).path == str(tmp_path / f"{number:0200d}.mp4")
        most = max(most, mapped_bytes() if place % 10 == 9 else 0)
    assert 1 << 18 < most < 1 << 20 < copy.stat().st_size
