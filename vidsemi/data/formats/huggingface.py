"""Hugging Face's VideoFolder and ImageFolder: `metadata.jsonl` or `metadata.csv` beside the files."""

from pathlib import Path

from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table import read_table_format
from vidsemi.io.errors import UserError

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@register_format(
    "huggingface",
    summary="metadata.jsonl of a VideoFolder or ImageFolder of Hugging Face",
    root="required",
    options={
        "--label-column": {"default": "label", "help": "name of the label column (default: label)"},
        "--path-column": {"default": "file_name", "help": "name of the path column (default: file_name)"},
    },
)
def read_huggingface(root: Path, *, label_column: str = "label", path_column: str = "file_name") -> ScanResult:
    """Read every metadata file in a folder and below; paths start from the folder of each.

    For a dataset whose labels are its folders, use the format `folder`.
    """
    if not root.is_dir():
        raise UserError("folder.missing", f"folder {root} does not exist")
    files = sorted(file for name in NAMES for file in root.rglob(name))
    if not files:
        raise UserError("huggingface.no_metadata", f"{root} does not contain {' or '.join(NAMES)}")
    found = [read_table_format(file, None, path_column=path_column, label_column=label_column) for file in files]
    scan = found[0] if len(found) == 1 else ScanResult()
    if len(found) > 1:
        columns = dict.fromkeys(name for one in found for name in one.columns)
        scan.columns = {
            name: [v for one in found for v in one.columns.get(name, [None] * len(one))] for name in columns
        }
        scan.missing = [name for one in found for name in one.missing]
        scan.broken = [place for one in found for place in one.broken]
    exists = ["://" in path or Path(path).exists() for path in scan.columns["path"]]
    scan.missing += [path for path, there in zip(scan.columns["path"], exists, strict=True) if not there]
    scan.keep(exists)
    return scan
