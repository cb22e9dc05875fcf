"""The registry of formats: what each takes on the command line, and formats of others."""

from pathlib import Path

import pytest

from tests.helpers.errors import assert_refused, refused
from tests.helpers.plugins import isolate
from vidsemi.cli import main as cli
from vidsemi.data.formats import ScanResult, formats, register_format
from vidsemi.data.manifest import load_manifest


@pytest.mark.parametrize(
    ("arguments", "code", "mentioned"),
    [
        (["cub200", "--root", "r"], "options.invalid", "--subset"),
        (["cub200", "--subset", "train"], "options.invalid", "--root"),
        (["cub200", "images.txt", "--root", "r", "--subset", "train"], "format.takes_no_file", "--root images.txt?"),
        (["cub200", "--root", "r", "--subset", "test", "--split", "1"], "options.invalid", "--split"),
        (["hmdb51", "--root", "r", "--subset", "test"], "format.missing_file", "split files"),
        (["ucf101", "a.txt", "b.txt", "--root", "r"], "format.too_many_files", "not 2"),
        (["yfcc100m", "a.txt"], "options.invalid", "--root"),
        (["folder", "--root", "r", "--vocabulary", "v.csv"], "options.invalid", "--vocabulary"),
        (["tar", "x.tar", "--root", "r"], "options.invalid", "--root"),
        (["tar"], "format.missing_file", "tar"),
        (["video", "x.mp4"], "options.invalid", "video"),
    ],
)
def test_each_format_takes_what_it_needs_and_nothing_else(
    arguments: list[str], code: str, mentioned: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["manifest", *arguments, "--output", str(tmp_path / "m.csv")]) == 2
    assert_refused(capsys.readouterr().err, code, mentioned)


@pytest.mark.parametrize("name", formats())
def test_the_help_of_a_format_lists_what_it_takes(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["manifest", name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    known = formats()[name]
    assert ("FILE ...]" in text) == bool(known.file)
    assert ("--root" in text) == (known.root != "none")
    assert ("--vocabulary" in text) == known.has_hashtags
    others = {flag for other in formats().values() for flag in other.options} - set(known.options)
    assert all(f" {flag} " in text for flag in known.options) and not any(f" {flag} " in text for flag in others)


def test_a_format_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate(monkeypatch)

    @register_format("lines", summary="a path per line", file="text file", options={"--label": {"default": "x"}})
    def read_lines(file: Path, label: str) -> ScanResult:
        scan = ScanResult()
        for line in file.read_text().splitlines():
            scan.add(path=str(file.parent / line), label=label)
        return scan

    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\n")
    command = ["manifest", "lines", str(tmp_path / "list.txt"), "--label", "jump", "--output", str(tmp_path / "m.csv")]
    assert cli.main(command) == 0
    assert load_manifest(tmp_path / "m.csv").table.to_pydict() == {"path": ["a.mp4", "b.mp4"], "label": ["jump"] * 2}
    (tmp_path / "list.txt").write_text("")
    with refused("scan.empty", "list.txt"):
        formats()["lines"].scan([str(tmp_path / "list.txt")], None, label="jump")
    with refused("registry.name_taken", "'lines'", "read_lines"):
        register_format("lines", summary="another one")(lambda: ScanResult())
    register_format("nothing", summary="of another type", file="text file")(lambda file: [file])
    with refused("format.not_a_scan", "nothing", "list"):
        formats()["nothing"].scan([str(tmp_path / "list.txt")], None)


def test_a_name_that_is_close_is_proposed(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["manifest", "foldr", "--root", "x", "--output", "m.csv"]) == 2
    assert_refused(capsys.readouterr().err, "options.invalid", "did you mean 'folder'?")
