"""YFCC100M: the table of metadata as it is distributed, and files named by their ids."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table import BrokenRowError, FilesById, require_usable_rows
from vidsemi.data.formats.text_rows import tab_rows
from vidsemi.data.hashtags.normalize import join_tags, split_tags


@register_format(
    "yfcc100m", summary="the metadata table of YFCC100M", file="metadata table", root="required", has_hashtags=True
)
def read_yfcc100m(file: Path, root: Path, vocabulary: AbstractSet[str] | None = None) -> ScanResult:
    """Read the metadata table of YFCC100M, plain, .gz or .bz2: one line per photo or video.

    It exists in three forms, told apart by the number of columns. All end in the same 22: the user id first, the tags
    eighth, 0 for a photo or 1 for a video last. Before them come

    - with 25 columns: the line number, the photo or video id, a hash;
    - with 23 columns: the id;
    - with 24 columns: the id and a hash of 32 digits, or else the line number and the id.

    Files in the root are named by their ids. Lines about other files are counted, not listed: the table has 100 million
    lines. Examples that carry no canonical tag of the vocabulary are left out.
    """
    scan = ScanResult({"path": [], "hashtags": []}, unique=True)
    files = FilesById(root)
    for number, row in tab_rows(file):
        try:
            path = files.find(_id_of(row))
        except BrokenRowError as error:
            scan.broken.append((number, str(error)))
            continue
        if path is None:
            scan.elsewhere += 1
            continue
        tags = split_tags(row[-15])
        if vocabulary is not None and vocabulary.isdisjoint(tags):
            scan.left_out += 1
        else:
            scan.add(path=path, hashtags=join_tags(tags) or None)
            scan.lines.append(number)
    return require_usable_rows(file, scan)


def _id_of(row: list[str]) -> str:
    if not 23 <= len(row) <= 25:
        raise BrokenRowError(f"has {len(row)} columns, not 23 to 25")
    is_numbered = len(row) == 25 or (len(row) == 24 and len(row[1]) != 32)  # 32 is the length of a hash
    name = row[1] if is_numbered else row[0]
    if not (name.isascii() and name.isdecimal()) or row[-1] not in ("0", "1"):
        raise BrokenRowError("is not a line of YFCC100M: the id is not a number, or the last column is not 0 or 1")
    return name
