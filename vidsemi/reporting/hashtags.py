"""The hashtags that weakly supervised pre-training used as labels."""

import json
from collections.abc import Sequence
from typing import Any

from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table

HEADER = ("hashtag", "classes", "examples")


def hashtag_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run that was pre-trained on hashtags."""
    sections = []
    for run in runs:
        try:
            stage = json.loads((run.folder / "hashtags" / "stage.json").read_text(encoding="utf-8"))
            sections.append(_section(stage["metrics"], "Hashtags" if len(runs) == 1 else f"Hashtags, {run.name}"))
        except (OSError, ValueError, KeyError, TypeError):  # the run has none, or has not got that far
            continue
    return sections


def _section(found: dict[str, Any], title: str) -> Section:
    total = found["examples"] + found["without"]
    labels = found["labels"]
    notes = [
        f"{len(labels)} labels. {found['examples']:,} of {total:,} weakly labeled examples have at least one of them."
    ]
    if found["dropped"]:
        names = ", ".join(f"#{label['tag']} ({label['examples']})" for label in found["dropped"])
        notes.append(f"Dropped, with fewer than {found['min_examples']} examples: {names}.")
    rows = [(f"#{label['tag']}", "; ".join(label["classes"]), str(label["examples"])) for label in labels]
    return Section(title, text=notes, tables=[Table(HEADER, rows, text_columns=2, fold="All labels")])
