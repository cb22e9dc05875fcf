"""An index of tars that was interrupted resumes: the same manifest, and no tar is read twice unless it has changed."""

import json
from pathlib import Path

import pytest

from tests.data.formats.test_tar import write_tar
from vidsemi.cli import main as cli
from vidsemi.data.formats import tar as tars
from vidsemi.data.formats import tar_journal
from vidsemi.data.formats.tar_journal import TarJournal
from vidsemi.data.manifest import Row

COMMAND = ["--workers", "0", "--json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four tars: with labels, with a member left out, damaged at the end, and empty."""
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "0.tar", {"a.mp4": b"a", "a.cls": b"jump", "b.mp4": b"bb"})
    write_tar(tmp_path / "tars" / "1.tar", {"c.mp4": b"c", "c.jpg": b"thumbnail"})
    write_tar(tmp_path / "tars" / "2.tar", {"d.mp4": b"d" * 600, "d.cls": b"run"})
    content = (tmp_path / "tars" / "2.tar").read_bytes()
    (tmp_path / "tars" / "2.tar").write_bytes(content[: content.index(b"d.cls")])
    write_tar(tmp_path / "tars" / "3.tar", {"e.txt": b"e"})
    return tmp_path


def read(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[str]:
    """The names of the tars that are read from now on; the `stop_at`-th is interrupted."""
    seen: list[str] = []

    def noted(row: Row) -> tars.TarIndex:
        seen.append(Path(row.path).name)
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        return index(row)

    index = tars.index_tar
    monkeypatch.setattr(tars, "index_tar", noted)
    return seen


def written(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict, bytes, str]:
    output = folder / f"{name}.csv"
    assert cli.main(["manifest", "tar", str(folder / "tars"), "--output", str(output), *COMMAND]) == 0
    document = json.loads(capsys.readouterr().out)
    assert not output.with_suffix(".index").exists()
    return {**document, "manifest": ""}, output.read_bytes(), output.with_suffix(".missing.txt").read_text()


def test_an_interrupted_index_resumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    undisturbed = written(folder, "whole", capsys)
    with monkeypatch.context() as patched:
        assert len(read(patched, stop_at=4)) == 0
        assert cli.main(["manifest", "tar", str(folder / "tars"), "--output", str(folder / "m.csv"), *COMMAND]) == 130
    assert not (folder / "m.csv").exists()
    (folder / "m.index" / "note.txt").write_text("of somebody else")
    with monkeypatch.context() as patched:
        seen = read(patched)
        assert cli.main(["manifest", "tar", str(folder / "tars"), "--output", str(folder / "m.csv"), *COMMAND]) == 0
    assert seen == ["3.tar"]
    capsys.readouterr()
    assert (folder / "m.csv").read_bytes() == undisturbed[1]
    assert (folder / "m.missing.txt").read_text() == undisturbed[2]
    assert [file.name for file in (folder / "m.index").iterdir()] == ["note.txt"]


def test_only_so_many_members_wait_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tar_journal, "MEMBERS_PER_PART", 1)
    files = sorted((folder / "tars").iterdir())
    journal, counts = TarJournal(folder / "m.index", files), []
    for file in files:
        journal.add(file, tars.index_tar(Row(0, str(file))))
        counts.append(len(list((folder / "m.index").glob("part-*"))))
    assert counts == [1, 1, 2, 2]


def test_changed_tars_and_damaged_parts_are_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    undisturbed = written(folder, "whole", capsys)
    files = sorted((folder / "tars").iterdir())
    for first, second in ((0, 1), (2, 3)):  # two parts
        journal = TarJournal(folder / "m.index", files)
        for file in files[first : second + 1]:
            journal.add(file, tars.index_tar(Row(0, str(file))))
        journal.write()
    assert all(file in TarJournal(folder / "m.index", files) for file in files)
    parts = [set(map(files.index, _known(part, files))) for part in (folder / "m.index").iterdir()]
    damaged = list((folder / "m.index").iterdir())[parts.index({2, 3})]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    write_tar(files[1], {"c.mp4": b"cc"})
    write_tar(folder / "again.tar", {"c.mp4": b"cc"})
    with monkeypatch.context() as patched:
        seen = read(patched)
        again = written(folder, "m", capsys)
    assert seen == ["1.tar", "2.tar", "3.tar"]
    assert again == written(folder, "fresh", capsys) != undisturbed


def _known(part: Path, files: list[Path]) -> list[Path]:
    from vidsemi.io.parquet import read_parquet

    names = [name.decode() for name in read_parquet(part)["tar"].to_pylist()]
    return [file for file in files if str(file) in names]
