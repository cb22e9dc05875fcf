"""The labels that hashtags gave to the weak pre-training, as a section of a report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsemi.io.tables import markdown_table, shorten_rows

HEADER = ("hashtag", "classes", "examples")


@dataclass(frozen=True)
class HashtagSection:
    """The hashtags of a run in a report.

    Attributes:
        title: whose they are.
        lines: what was found.
        rows: of the table of labels, under `HEADER`.
    """

    title: str
    lines: list[str]
    rows: list[tuple[str, ...]]


def hashtag_sections(runs: Mapping[str, Path]) -> list[HashtagSection]:
    """One section for each run, by its name, that has learnt hashtags."""
    found = []
    for name, run in runs.items():
        try:
            figures = json.loads((run / "hashtags" / "stage.json").read_text(encoding="utf-8"))["metrics"]
            title = "Hashtags" if len(runs) == 1 else f"Hashtags, {name}"
            found.append(HashtagSection(title, _lines(figures), [_row(label) for label in figures["labels"]]))
        except (OSError, ValueError, KeyError, TypeError):  # it has none, or is not there yet
            continue
    return found


def _lines(figures: dict) -> list[str]:
    examples, without = figures["examples"], figures["without"]
    lines = [
        f"{len(figures['labels'])} labels; {examples} of {examples + without} examples of W carry at least one of them"
    ]
    if dropped := figures["dropped"]:
        names = ", ".join(f"#{label['tag']} ({label['examples']})" for label in dropped)
        lines.append(f"dropped, with fewer than {figures['min_examples']} examples: {names}")
    return lines


def _row(label: dict) -> tuple[str, ...]:
    return f"#{label['tag']}", "; ".join(label["classes"]), str(label["examples"])


def hashtags_markdown(sections: Sequence[HashtagSection]) -> str:
    """The sections for results.md; of many labels the first and the last."""
    texts = []
    for section in sections:
        lines = [f"- {line}" for line in section.lines]
        texts.append(
            "\n".join([f"\n## {section.title}\n", *lines, "", *markdown_table(HEADER, shorten_rows(section.rows)), ""])
        )
    return "".join(texts)
