"""What a scan of a format found: the rows of a manifest, what did not become a row, and what looks wrong."""

import logging
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

from vidsemi.data.class_names import class_name, first_names, near_equal_warnings
from vidsemi.data.formats.media_files import count_suffixes, is_image
from vidsemi.data.formats.repeats import check_repeats
from vidsemi.data.formats.text_rows import Broken, BrokenLines
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text

logger = logging.getLogger("vidsemi")

SUFFIXES_LISTED = 100


@dataclass
class ScanResult:
    """Examples as columns of equal length, and what did not become one.

    `columns` are values by column name of the manifest; `path` is relative to the working directory or absolute.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # as listed
    missing_what: str = "listed files do not exist"  # describes `missing` in messages
    elsewhere: int = 0  # lines about files that are not expected to exist here
    left_out: int = 0  # examples without a tag of the vocabulary
    broken: Broken = field(default_factory=BrokenLines)  # line numbers, from 1, and what is wrong
    unknown: Counter[str] = field(default_factory=Counter)  # suffix → files that are neither video nor image
    warnings: list[str] = field(default_factory=list)  # what may be wrong with the examples
    unique: bool = False  # whether a file may be listed only once
    captions: int = 0  # rows of which only the words behind a # are tags
    lines: "array[int]" = field(
        default_factory=lambda: array("q"), compare=False
    )  # of the examples in the file that lists them, if known

    def add(self, **values: object) -> None:
        """Append one example; every call names the same columns.

        Args:
            values: of the example, by the names of a manifest's columns.
        """
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)

    def keep(self, kept: Sequence[bool]) -> None:
        """Remove the examples that are not to be kept.

        Args:
            kept: for each example whether to keep it.
        """
        self.columns = {name: list(compress(values, kept)) for name, values in self.columns.items()}
        self.lines = array("q", compress(self.lines, kept))

    def __len__(self) -> int:
        return len(self.columns.get("path", ()))

    def require_examples(self, source: object, root: Path | None) -> None:
        """Raise a UserError if there are no examples.

        Args:
            source: that listed them.
            root: where the files were expected.
        """
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

        Args:
            manifest: to write, .csv or .parquet.
            vocabulary: whose tags the examples must have, for the summary.

        Returns:
            A summary as JSON and as one line.
        """
        from vidsemi.data.manifest import write_manifest

        paths = portable_paths(self.columns["path"], manifest)
        if "label" in self.columns:
            self.columns["label"] = _class_names(self.columns["label"])
        repeated = check_repeats({**self.columns, "path": paths}, self.lines, self.unique)
        write_manifest(manifest, {**self.columns, "path": paths})
        names = zip(self.columns.get("member", paths), paths, strict=True)
        suffixes = Counter((member or path).rpartition(".")[2] for member, path in names)
        images = sum(count for suffix, count in suffixes.items() if is_image(f"x.{suffix}"))
        classes = sorted({label for label in self.columns.get("label", ()) if label is not None})
        warnings = [*self.warnings, *near_equal_warnings(classes)]
        broken = [f"line {number}: {problem}" for number, problem in sorted(self.broken)]
        if broken:
            logger.warning("skipped %d broken lines:\n  %s", len(broken), "\n  ".join(broken[:10]))
        for warning in warnings:
            logger.warning("%s: %s", manifest, warning)
        text = "".join(
            [
                f"{manifest}: {len(self)} examples",
                write_missing(manifest, self.missing, self.missing_what),
                _clause(self.elsewhere, "lines name files that do not exist here"),
                _clause(self.left_out, f"examples without a tag of {vocabulary} were left out"),
                _clause(repeated, "examples repeat a file that is listed before"),
                _clause(self.captions, "rows are captions, in which only the words behind a # are tags"),
                _clause(self.unknown.total(), f"files with unknown suffixes: {count_suffixes(self.unknown)}"),
                _write_list(manifest.with_suffix(".broken.txt"), broken, "lines are broken"),
                _clause(len(self) - images, "videos"),
                _clause(images, "images"),
                _clause(len(classes), f"classes: {first_names(classes)}"),
            ]
        )
        document = {
            "manifest": str(manifest),
            "examples": len(self),
            "videos": len(self) - images,
            "images": images,
            "classes": len(classes),
            "missing": len(self.missing),
            "elsewhere": self.elsewhere,
            "left_out": self.left_out,
            "repeated": repeated,
            "captions": self.captions,
            "broken": len(broken),
            "unknown_suffixes": dict(self.unknown.most_common(SUFFIXES_LISTED)),
            "warnings": warnings,
        }
        return document, text


def _clause(count: int, what: str) -> str:
    return f"; {count} {what}" if count else ""


def _class_names(labels: Iterable[str | None]) -> list[str | None]:
    """Labels with their names normalized; None for an empty one."""
    known = {label: class_name(label) or None for label in set(labels) if label is not None}
    return [None if label is None else known[label] for label in labels]


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
