"""What a scan of a format found: the rows of a manifest, what did not become a row, and what looks wrong."""

import logging
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.data.class_names import first_names, near_equal_warnings
from vidsemi.data.formats.media_files import count_suffixes
from vidsemi.data.formats.text_rows import Broken, BrokenLines
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("vidsemi")

BLOCK = 1 << 18  # examples that become a table at once
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

    def blocks(self) -> "Iterator[tuple[pa.Table, Sequence[int]]]":
        """The examples as tables of columns of a manifest, each with the lines that list them, if these are known."""
        import pyarrow as pa

        from vidsemi.data.manifest_file import COLUMNS

        for first in range(0, max(len(self), 1), BLOCK):
            own = slice(first, first + BLOCK)
            yield (
                pa.table({name: pa.array(values[own], COLUMNS[name]) for name, values in self.columns.items()}),
                self.lines[own],
            )

    def stored_blocks(self, manifest: Path) -> "Iterator[tuple[pa.Table, Sequence[int]]]":
        """`blocks`, but with the paths as a manifest stores them.

        Args:
            manifest: to store them in.

        Yields:
            A table of examples, and the line of each in its list; as `blocks`.
        """
        from vidsemi.data.formats.portable_paths import portable_column

        for table, lines in self.blocks():
            paths = portable_column(table.column("path").combine_chunks(), manifest)
            yield table.set_column(table.column_names.index("path"), "path", paths), lines

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
        from vidsemi.data.formats.manifest_writer import write_scan

        written = write_scan(manifest, self)
        examples, images, repeated = written.examples, written.images, written.repeated
        classes = sorted(written.classes)
        warnings = [*self.warnings, *near_equal_warnings(classes)]
        broken = [f"line {number}: {problem}" for number, problem in sorted(self.broken)]
        if broken:
            logger.warning("skipped %d broken lines:\n  %s", len(broken), "\n  ".join(broken[:10]))
        for warning in warnings:
            logger.warning("%s: %s", manifest, warning)
        text = "".join(
            [
                f"{manifest}: {examples} examples",
                write_missing(manifest, self.missing, self.missing_what),
                _clause(self.elsewhere, "lines name files that do not exist here"),
                _clause(self.left_out, f"examples without a tag of {vocabulary} were left out"),
                _clause(repeated, "examples repeat a file that is listed before"),
                _clause(self.captions, "rows are captions, in which only the words behind a # are tags"),
                _clause(self.unknown.total(), f"files with unknown suffixes: {count_suffixes(self.unknown)}"),
                _write_list(manifest.with_suffix(".broken.txt"), broken, "lines are broken"),
                _clause(examples - images, "videos"),
                _clause(images, "images"),
                _clause(len(classes), f"classes: {first_names(classes)}"),
            ]
        )
        document = {
            "manifest": str(manifest),
            "examples": examples,
            "videos": examples - images,
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


@dataclass
class StreamedScan(ScanResult):
    """Examples that are read while their manifest is written, so that they need not fit in memory."""

    _examples: int = 0  # in the blocks so far

    def __len__(self) -> int:
        return self._examples

    def require_examples(self, source: object, root: Path | None) -> None:
        """Nothing is known yet; `blocks` refuses a list without examples."""

    def blocks(self, *, examples_needed: bool = True) -> "Iterator[tuple[pa.Table, Any]]":
        """The examples as tables of columns of a manifest, each with the lines that list them.

        Args:
            examples_needed: whether to refuse a list without examples.
        """
        raise NotImplementedError

    def collect(self) -> ScanResult:
        """The examples in memory."""
        scan = ScanResult()
        for table, lines in self.blocks(examples_needed=False):
            for name, column in zip(table.column_names, table.columns, strict=True):
                scan.columns.setdefault(name, []).extend(column.to_pylist())
            scan.lines.extend(lines.tolist())
        for name in ("missing", "elsewhere", "left_out", "broken", "unique", "captions"):
            setattr(scan, name, getattr(self, name))
        return scan


def _clause(count: int, what: str) -> str:
    return f"; {count} {what}" if count else ""


def write_missing(manifest: Path, lines: Sequence[str], what: str) -> str:
    """Write MANIFEST.missing.txt, or remove an earlier one; return a clause for the summary."""
    return _write_list(manifest.with_suffix(".missing.txt"), lines, what)


def _write_list(file: Path, lines: Sequence[str], what: str) -> str:
    file.unlink(missing_ok=True)
    if not lines:
        return ""
    write_text(file, "\n".join(lines) + "\n")
    return f"; {len(lines)} {what}, see {file}"
