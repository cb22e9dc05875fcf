"""Something-Something v2: JSON lists of ids and templates; videos are named by the ids."""

from pathlib import Path

from vidsemi.data.formats.lists import Media, json_entries
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult


@register_format(
    "something_something",
    summary="the JSON lists of Something-Something v2",
    file="something-something-v2-train.json, …",
    root="required",
)
def read_something_something(file: Path, root: Path) -> ScanResult:
    """Read a list of {"id": "78687", "template": "Holding [something] next to [something]", …}.

    The class is the template without brackets, as in the list of labels; the field `label` is a sentence about the one
    video. Test lists have ids only.
    """
    scan = ScanResult()
    media = Media(root, scan)
    for number, entry in json_entries(file, "id"):
        name = str(entry["id"])
        template = str(entry.get("template") or "").replace("[", "").replace("]", "")
        media.add(media.by_id(name), name, number, label=template or None)
    return scan
