"""Whether the training data was checked for duplicates of the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vidsemi.data.dedup.checks import describe_checks, read_checks
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section


def duplicates_section(runs: Sequence[RunResults]) -> Section:
    """What was checked, and warnings of what was not; a text that is true of all runs is there once."""
    texts: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    documents: dict[str, list[dict[str, Any]] | None] = {}
    for run in runs:
        checks = read_checks(run.folder)
        documents[run.name] = None if checks is None else [asdict(check) for check in checks]
        for names_by_text, found in zip(texts, describe_checks(checks), strict=True):
            for text in found:
                names_by_text.setdefault(text, []).append(run.name)
    checked, warnings = (_with_run_names(names_by_text, runs) for names_by_text in texts)
    data = {"checked": checked, "warnings": warnings, "runs": documents}
    return Section("Duplicates of the test set", text=checked, warnings=warnings, data={"duplicates": data})


def _with_run_names(names_by_text: Mapping[str, Sequence[str]], runs: Sequence[RunResults]) -> list[str]:
    return [text if len(names) == len(runs) else f"{', '.join(names)}: {text}" for text, names in names_by_text.items()]
