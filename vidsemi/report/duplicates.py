"""Whether the students of a report can have seen the test set: what their runs know of duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidsemi.data.dedup.checks import describe_checks, read_checks


@dataclass(frozen=True)
class DuplicateNotes:
    """What a report says of the duplicates of test sets.

    Attributes:
        said: what was checked.
        warnings: what was not.
        runs: of each run its checks as JSON; None where nothing is known.
    """

    said: list[str]
    warnings: list[str]
    runs: dict[str, list[dict[str, Any]] | None]

    def document(self) -> dict[str, Any]:
        """For report.json."""
        return asdict(self)

    def markdown(self) -> str:
        """As items of a list."""
        return "".join(f"- {text}\n" for text in [*self.said, *(f"**{text}**" for text in self.warnings)])


def duplicate_notes(runs: Mapping[str, Path]) -> DuplicateNotes:
    """What is known of each run, which come by their names; what several have in common is said once.

    Args:
        runs: their directories.
    """
    said: dict[str, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    documents: dict[str, list[dict[str, Any]] | None] = {}
    for name, run in runs.items():
        checks = read_checks(run)
        documents[name] = None if checks is None else [asdict(check) for check in checks]
        for texts, found in zip((said, warnings), describe_checks(checks), strict=True):
            for text in found:
                texts.setdefault(text, []).append(name)
    return DuplicateNotes(_named(said, runs), _named(warnings, runs), documents)


def _named(texts: Mapping[str, Sequence[str]], runs: Mapping[str, Path]) -> list[str]:
    """Texts with the names of the runs that they are of, where they are not of all."""
    return [text if len(names) == len(runs) else f"{', '.join(names)}: {text}" for text, names in texts.items()]
