"""HAA500: twenty videos a class, of which the number tells the subset."""

import re
from pathlib import Path
from typing import Literal

from vidsemi.data.formats.media_files import media_files
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult

SUBSETS = {"train": range(16), "val": range(16, 17), "test": range(17, 20)}  # 16, 1 and 3 videos a class


@register_format(
    "haa500",
    summary="the folder of HAA500",
    root="required",
    options={"--subset": {"choices": SUBSETS, "required": True, "help": "training, validation or test set"}},
)
def read_haa500(root: Path, subset: Literal["train", "val", "test"]) -> ScanResult:
    """Read videos `<class>_<number>.mp4` at any depth, numbered from 000; other names are listed as missing."""
    scan = ScanResult(missing_what="files are not named class_number")
    for file in media_files(root):
        match = re.fullmatch(r"(.+)_(\d{3})", file.stem, re.ASCII)
        if match is None:
            scan.missing.append(str(file))
        elif int(match[2]) in SUBSETS[subset]:
            scan.add(path=str(file), label=match[1])
    return scan
