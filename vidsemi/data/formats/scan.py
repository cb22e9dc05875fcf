"""Finding media files, and what a scan of a format found: the rows of a manifest."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text

VIDEO_SUFFIXES = {
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".ogv"),
    *(".gif", ".apng"),  # a still one is a video of one frame
}
IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jp2", ".j2k", ".avif"),
    # These cannot be read. They are listed all the same, so that they are counted and named as failures.
    *(".heic", ".heif", ".jxl"),
}


def media_files(root: Path) -> list[Path]:
    """Every video or image below a folder, sorted by path; hidden files and folders are skipped, links followed."""
    if not root.is_dir():
        raise UserError("folder.missing", f"folder {root} does not exist")
    media: list[Path] = []
    visited: set[str] = set()  # datasets are often assembled from links, which can form a cycle
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        if os.path.realpath(folder) in visited:
            folders.clear()
            continue
        visited.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
        media += [Path(folder, name) for name in files if Path(name).suffix.lower() in suffixes and name[0] != "."]
    if not media:
        raise UserError("folder.no_media", f"{root} does not contain any videos or images")
    return sorted(media)


def _raise(error: OSError) -> None:
    raise UserError("folder.unreadable", f"{error.filename} cannot be read: {error.strerror}")


def files_by_stem(*folders: Path) -> dict[str, str]:
    """Every video and image below the folders, by its file name without suffix.

    If several files share a name, earlier folders take precedence over later ones and, within a folder, videos over
    images. Files whose names are not UTF-8 are skipped, because no table can store them.
    """
    return {
        path.stem: str(path)
        for folder in reversed(folders)
        for path in sorted(media_files(folder), key=lambda path: path.suffix.lower() in VIDEO_SUFFIXES)
        if is_utf8(str(path))
    }


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogates, which stand for bytes that are not UTF-8: no table can store those."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


logger = logging.getLogger("vidsemi")


@dataclass
class ScanResult:
    """Examples as columns of equal length, and what did not become one.

    `columns` are values by column name of the manifest; `path` is relative to the working directory or absolute.
    """

    columns: dict[str, list] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # as listed
    missing_what: str = "listed files do not exist"  # describes `missing` in messages
    elsewhere: int = 0  # lines about files that are not expected to exist here
    left_out: int = 0  # examples without a tag of the vocabulary
    broken: list[tuple[int, str]] = field(default_factory=list)  # line numbers, from 1, and what is wrong

    def add(self, **values: object) -> None:
        """Append one example; every call names the same columns."""
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)

    def __len__(self) -> int:
        return len(self.columns.get("path", ()))

    def require_examples(self, source: object, root: Path | None) -> None:
        """Raise a UserError if there are no examples; `source` listed them, `root` is where the files were expected."""
        if len(self):
            return
        if self.left_out:
            raise UserError(
                "scan.no_tagged_examples", f"none of the {self.left_out} examples of {source} has a vocabulary tag"
            )
        if self.elsewhere:
            raise UserError("scan.no_files", f"none of the {self.elsewhere} files of {source} is in {root}")
        if not self.missing:
            raise UserError("scan.empty", f"{source} does not contain any examples")
        name = self.missing[0] if self.missing[0].isprintable() else ascii(self.missing[0])
        raise UserError(
            "scan.no_files", f"none of the {len(self.missing)} files listed in {source} is in {root}, such as {name}"
        )

    def write(self, manifest: Path, vocabulary: object = "") -> tuple[dict[str, Any], str]:
        """Write the manifest; list what did not become an example in MANIFEST.missing.txt and MANIFEST.broken.txt.

        Returns:
            A summary as JSON and as one line; it names the `vocabulary` whose tags examples must have.
        """
        from vidsemi.data.manifest import write_manifest

        write_manifest(manifest, {**self.columns, "path": portable_paths(self.columns["path"], manifest)})
        text = f"{manifest}: {len(self)} examples" + write_missing(manifest, self.missing, self.missing_what)
        if self.elsewhere:
            text += f"; {self.elsewhere} lines name files that do not exist here"
        if self.left_out:
            text += f"; {self.left_out} examples without a tag of {vocabulary} were left out"
        broken = [f"line {number}: {problem}" for number, problem in sorted(self.broken)]
        if broken:
            logger.warning("skipped %d broken lines:\n  %s", len(broken), "\n  ".join(broken[:10]))
        text += _write_list(manifest.with_suffix(".broken.txt"), broken, "lines are broken")
        document = {"manifest": str(manifest), "examples": len(self), "missing": len(self.missing)}
        counts = {"elsewhere": self.elsewhere, "left_out": self.left_out, "broken": len(self.broken)}
        return {**document, **counts}, text


def portable_paths(paths: Iterable[str], manifest: Path) -> list[str]:
    """Paths as the manifest stores them: relative to its folder if they are in it, else absolute. URIs stay."""
    folder = os.path.join(manifest.parent.resolve(), "")
    absolute = (path if "://" in path else os.path.abspath(path) for path in paths)
    return [path.removeprefix(folder) for path in absolute]


def write_missing(manifest: Path, lines: Sequence[str], what: str) -> str:
    """Write MANIFEST.missing.txt, or remove an earlier one; return a clause for the summary."""
    return _write_list(manifest.with_suffix(".missing.txt"), lines, what)


def _write_list(file: Path, lines: Sequence[str], what: str) -> str:
    file.unlink(missing_ok=True)
    if not lines:
        return ""
    write_text(file, "\n".join(lines) + "\n")
    return f"; {len(lines)} {what}, see {file}"
