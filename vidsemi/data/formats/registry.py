"""The registry of dataset formats, which `vidsemi manifest FORMAT` reads.

To add a format, write a function that returns a `ScanResult` and register it. It becomes a subcommand whose `--help`
lists exactly what it takes. The modules of built-in formats lie in this folder and are listed in `BUILT_IN`.

    @register_format("list", summary="a text file with one path per line", file="text file", root="required")
    def read_list(file: Path, root: Path) -> ScanResult:
        scan = ScanResult()
        for line in file.read_text().splitlines():
            scan.add(path=str(root / line))
        return scan
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from vidsemi.data.formats.scan import ScanResult
from vidsemi.io.errors import UserError
from vidsemi.runtime.registry import Registry

BUILT_IN = (  # modules, in the order of the help
    *(
        "table",
        "folder",
        "frames",
        "path_list",
        "tar",
        "huggingface",
        "kinetics",
        "activitynet",
        "charades",
        "diving48",
    ),
    *("finegym", "haa500", "jester", "moments", "something_something", "split_lists", "yfcc100m"),
)

Read = TypeVar("Read", bound=Callable[..., ScanResult])


@dataclass(frozen=True)
class Format:
    """How a format is read, and what the command line must provide for it.

    `read` is called with the file (a `Path`; a list of texts if `many_files`), then the root, each only if the format
    takes one, and its options by keyword.
    """

    name: str  # as in `vidsemi manifest NAME`
    read: Callable[..., ScanResult]
    summary: str  # one line for the help
    file: str = ""  # what the file is, for the help; empty if the format does not take one
    many_files: bool = False  # takes several files or patterns
    root: Literal["required", "optional", "none"] = "none"  # whether it takes `--root`, the folder of the media
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # flag → arguments of `add_argument`
    has_hashtags: bool = False  # takes the keyword `vocabulary`: canonical tags or None; keeps examples that carry one
    in_parallel: bool = False  # takes the keywords `workers` and `seconds`, the limit per file

    def scan(self, files: Sequence[str], root: Path | None, **options: Any) -> ScanResult:
        """Read the files; a UserError if they or the root are not what the format takes, or contain no examples."""
        if files and not self.file:
            raise UserError(
                "format.takes_no_file", f"the format {self.name} does not take a file; did you mean --root {files[0]}?"
            )
        if self.file and not files:
            raise UserError("format.missing_file", f"the format {self.name} needs a file: {self.file}")
        if len(files) > 1 and not self.many_files:
            raise UserError("format.too_many_files", f"the format {self.name} takes one file, not {len(files)}")
        if self.root == "required" and root is None:
            raise UserError(
                "format.missing_root", f"the format {self.name} needs --root, the folder of the videos or images"
            )
        sources: list[Any] = [list(files) if self.many_files else Path(files[0])] if self.file else []
        if self.root != "none":
            sources.append(root)
        scan = self.read(*sources, **options)
        if not isinstance(scan, ScanResult):
            kind = type(scan).__name__
            raise UserError("format.not_a_scan", f"the format {self.name} returned a {kind}, not a vidsemi.ScanResult")
        scan.require_examples(" ".join(files) or root, root or Path(files[0]).parent)
        return scan


_FORMATS: Registry[Format] = Registry("format", [f"vidsemi.data.formats.{module}" for module in BUILT_IN])


def register_format(name: str, *, summary: str, **requirements: Any) -> Callable[[Read], Read]:
    """Decorate a function to make it the reader of a format, a subcommand of `vidsemi manifest`.

    Args:
        name: of the format.
        summary: one line for the help.
        requirements: the other attributes of `Format`, such as `root="required"`.

    Returns:
        The decorator, which returns the function as it is.

    Raises:
        UserError: the name is invalid or taken.
    """
    return _FORMATS.decorator(name, lambda read: Format(name, read, summary, **requirements))


def formats(*, plugins: bool = True) -> dict[str, Format]:
    """All registered formats by name, the built-in ones first; `plugins`: with those of other packages."""
    return _FORMATS.all(plugins=plugins)
