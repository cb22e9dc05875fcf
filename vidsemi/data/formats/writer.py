"""What was found becomes a manifest, with lists beside it of what did not, and a line that says so."""

import logging
from collections.abc import Sequence
from pathlib import Path

from vidsemi.data.formats.readers import Found, portable_paths
from vidsemi.data.manifest import write_manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text

logger = logging.getLogger("vidsemi")


def need_examples(found: Found, file: Path | None, root: Path | None) -> None:
    """Refuse what has no example at all; `file` is what listed them, `root` where they were looked for."""
    if found.columns.get("path"):
        return
    if found.left_out:
        raise UserError(f"not one of the {found.left_out} examples of {file} has a tag of the vocabulary")
    if found.elsewhere:
        raise UserError(f"not one of the {found.elsewhere} files of {file} is under {root}")
    name = found.missing[0] if found.missing else ""
    example = f", such as {name if name.isprintable() else ascii(name)}" if name else ""
    raise UserError(f"not one of the {len(found.missing)} files listed in {file} is under {root}{example}")


def write_found(manifest: Path, found: Found, vocabulary: object = "") -> str:
    """Write a manifest, <manifest>.missing.txt and <manifest>.broken.txt, the latter two if there is anything to list.

    Args:
        manifest: ends in .csv or .parquet.
        found: examples and what did not become one.
        vocabulary: says whose tags were asked for, where some were.

    Returns:
        A line: how many examples there are, and how many things of each kind did not become one.
    """
    paths = found.columns["path"]
    write_manifest(manifest, {**found.columns, "path": portable_paths(paths, manifest)})
    text = f"{manifest}: {len(paths)} examples" + list_missing(manifest, found.missing, found.missing_are)
    if found.elsewhere:
        text += f"; {found.elsewhere} lines are of files that are not there"
    if found.left_out:
        text += f"; {found.left_out} examples without a tag of {vocabulary} are left out"
    return text + list_broken(manifest, found.broken)


def list_missing(manifest: Path, lines: Sequence[str], what: str) -> str:
    """Write what is not in a manifest to a file beside it; says so."""
    missing = manifest.with_suffix(".missing.txt")
    missing.unlink(missing_ok=True)
    if not lines:
        return ""
    write_text(missing, "\n".join(lines) + "\n")
    return f"; {len(lines)} {what}, see {missing}"


def list_broken(manifest: Path, broken: Sequence[tuple[int, str]]) -> str:
    """Write the numbers of broken lines to a file beside a manifest, the first ten to the log; says so."""
    file = manifest.with_suffix(".broken.txt")
    file.unlink(missing_ok=True)
    if not broken:
        return ""
    lines = [f"line {number}: {wrong}" for number, wrong in sorted(broken)]
    write_text(file, "\n".join(lines) + "\n")
    logger.warning("%d broken lines are left out:\n  %s", len(lines), "\n  ".join(lines[:10]))
    return f"; {len(lines)} lines are broken, see {file}"
