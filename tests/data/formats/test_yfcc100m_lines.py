"""Blocks of lines of YFCC100M give the examples that each line, read alone, gives."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.data.test_manifest import touch
from vidsemi.data.formats import yfcc100m
from vidsemi.data.formats.row_rules import BrokenRowError
from vidsemi.data.formats.table import FilesById
from vidsemi.data.formats.text_rows import tab_rows
from vidsemi.data.formats.yfcc100m import HASH, hash_of, read_yfcc100m
from vidsemi.data.hashtags.normalize import join_tags, split_tags

DIGEST = "4e2f7a26a1dfbf165a7e30bdabf7e72a"
LONG = "1234567890123456789"
FILES = ("7.mp4", "007.mp4", f"{LONG}.jpg", "x.mp4", "12.mp4")
ids = st.sampled_from(
    [b"7", b"007", b"8", b"12", b"", b"x", b"-1", LONG.encode(), b"\xc3\xa9", b"\xff", b"1234567890123456"]
)
hashes = st.sampled_from([DIGEST.encode(), DIGEST[:-1].encode() + b"0", DIGEST.upper().encode(), b"", b"abc", b"7"])
heads = st.builds(lambda name, own: [b"1", name, own], ids, hashes) | st.builds(
    lambda name, own: [name, own], ids, hashes
)
markers = st.sampled_from([b"0", b"1", b"2", b"", b"01", b"1\r", b"1\r\r", b"\r"])
tags = st.sampled_from([b"a,B", b"", b"caf%C3%A9", b"\xff#x", b"we ate #pizza, great"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    head = draw(heads | st.builds(lambda name: [name], ids) | st.builds(lambda name: [b"1", name], ids))
    rest = [b""] * 7 + [draw(tags)] + [b""] * 5 + [draw(st.sampled_from([b"http://d", b""]))] + [b""] * 7
    return draw(st.sampled_from([b"", b"\r", b"\t"]) | st.just(b"\t".join([*head, *rest, draw(markers)])))


@settings(max_examples=100, deadline=None)
@given(st.lists(lines(), max_size=8), st.booleans(), st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf"]))
@example([b"\t".join([b"7", *[b""] * 21, b"1"])], False, True, b"")
def test_blocks_of_lines(
    tmp_path_factory: pytest.TempPathFactory, own: list[bytes], hashed: bool, ended: bool, begin: bytes
):
    folder = tmp_path_factory.mktemp("y")
    root = touch(folder / "v", *FILES, *([f"{DIGEST}.mp4", f"{hash_of('http://d')}.mp4"] if hashed else []))
    file = folder / "yfcc100m"
    file.write_bytes(begin + b"\n".join(own) + b"\n" * ended)
    files, found, broken, elsewhere = FilesById(root), [], [], 0
    for number, row in tab_rows(file):
        try:
            line = yfcc100m._line(row)
        except BrokenRowError as error:
            broken.append((number, str(error)))
            continue
        path = files.find(line.name)
        if path is None and any(map(HASH.fullmatch, files)):
            path = files.find(line.hash or hash_of(line.address))
        if path is None:
            elsewhere += 1
        else:
            found.append((number, path, join_tags(split_tags(line.tags)) or None))
    if not found and not elsewhere:
        return
    scan = read_yfcc100m(file, root)
    columns = scan.lines.tolist(), scan.columns["path"], scan.columns["hashtags"]
    assert list(zip(*columns, strict=True)) == found
    assert list(scan.broken) == broken and scan.elsewhere == elsewhere
