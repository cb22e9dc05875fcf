"""Diving48: JSON lists of clips and class numbers."""

from pathlib import Path

from vidsemi.data.formats.lists import CLASSES, ClassNames, Media, json_entries
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult


@register_format(
    "diving48",
    summary="the JSON lists of Diving48",
    file="Diving48_V2_train.json or Diving48_V2_test.json",
    root="required",
    options={"--classes": {**CLASSES, "help": "Diving48_vocab.json, the names of the classes"}},
)
def read_diving48(file: Path, root: Path, *, classes: Path | None = None) -> ScanResult:
    """Read a list of {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}.

    The clips are cut already: the frames of a list are those of the whole file.
    """
    scan = ScanResult()
    media, names = Media(root, scan), ClassNames(classes)
    for number, entry in json_entries(file, "vid_name", "label"):
        name = str(entry["vid_name"])
        label = names.name(entry["label"], f"{file}: entry {number}")
        media.add(media.by_id(name), name, number, label=label)
    return scan
