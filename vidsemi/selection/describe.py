"""A selection described for people and programs: metrics, a table of its classes, and warnings."""

import statistics
from collections.abc import Sequence
from typing import Any

from vidsemi.selection.info import SelectionInfo
from vidsemi.selection.policies import find_policy

CLASS_HEADER = ("class", "wanted", "candidates", "chosen", "last score")


def metrics(info: SelectionInfo) -> dict[str, Any]:
    """Return the metrics of a selection as a JSON object."""
    return {
        "policy": info.policy,
        "per_class": info.per_class,
        "per_example": info.per_example,
        "min_score": info.min_score,
        "seed": info.seed,
        "shards": info.shard_ranges,
        "examples": info.scores.examples,
        "scored": info.scored,
        "rows_read": info.rows_read,
        "candidates": sum(info.candidates_per_class),
        "rows": sum(info.chosen_per_class),
        "chosen": info.chosen,
        "share_of_unlabeled": info.share_of_unlabeled,
        "taken_by": info.taken_by,
        "short_classes": info.short_classes,
        "targets": info.targets,
        "temperature": info.temperature if info.soft else None,
        "warnings": warnings(info),
    }


def classes(info: SelectionInfo) -> list[dict[str, Any]]:
    """Return a JSON object per class, in class order."""
    columns = (info.wanted_per_class, info.candidates_per_class, info.chosen_per_class, info.last_score_per_class)
    return [
        dict(zip(("class", "wanted", "candidates", "chosen", "last_score"), row, strict=True))
        for row in zip(info.scores.classes, *columns, strict=True)
    ]


def summary(info: SelectionInfo) -> list[str]:
    """Return the metrics as a few lines of text."""
    total = info.scores.examples or info.scored
    lines = [
        f"{info.policy}, per_class = {info.per_class:,}, per_example = {info.per_example}"
        + (f", scores from {info.min_score:g}" if info.min_score else "")
        + (f", seed {info.seed}" if info.seed is not None else "")
        + f"; {targets(info)}",
        f"{info.rows_read:,} rows of {info.scored:,} examples read, {sum(info.candidates_per_class):,} candidates",
        f"{sum(info.chosen_per_class):,} rows selected: {info.chosen:,} examples, "
        f"{info.share_of_unlabeled:.1%} of {total:,} unlabeled",
    ]
    if times := [f"{count:,} by {k}" for k, count in enumerate(info.taken_by, start=1) if count]:
        lines.append(f"examples by the number of classes that took them: {', '.join(times)}")
    return lines


def targets(info: SelectionInfo) -> str:
    """Describe the training targets."""
    return f"soft targets at temperature {info.temperature:g}" if info.soft else "one-hot targets"


def class_rows(info: SelectionInfo) -> list[tuple[str, ...]]:
    """Return the table under `CLASS_HEADER`, most candidates first."""
    rows = sorted(classes(info), key=lambda row: -row["candidates"])
    counts = [[f"{row[name]:,}" for name in ("wanted", "candidates", "chosen")] for row in rows]
    last = ["" if row["last_score"] is None else f"{row['last_score']:.4f}" for row in rows]
    return [(row["class"], *own, score) for row, own, score in zip(rows, counts, last, strict=True)]


def warnings(info: SelectionInfo) -> list[str]:
    """Return signs that per_class, per_example or the teacher do not suit this unlabeled set, one line each."""
    names, wanted, candidates = info.scores.classes, info.wanted_per_class, info.candidates_per_class
    total, lines = sum(candidates), []
    if info.missing_shards:
        lines.append(f"score shards {format_ranges(info.missing_shards)} are not included")
    if empty := [name for name, count in zip(names, candidates, strict=True) if count == 0]:
        lines.append(f"{len(empty)} of {len(names)} classes have no candidates: {_some(empty)}")
    few = f"per_example = {info.per_example} is too small for this unlabeled set"
    if (policy := find_policy(info.policy)) and policy.needs_tags:
        few = "too few examples have its hashtags"
    filled = statistics.median(min(c / w, 1) if w else 1 for c, w in zip(candidates, wanted, strict=True))
    if filled < 1:
        lines.append(
            f"the median class has candidates for only {int(100 * filled)}% of its rows: "
            f"per_class = {info.per_class} is too large, or {few}"
        )
    elif info.short_classes:
        short = info.short_classes
        lines.append(f"{len(short)} of {len(names)} classes have fewer candidates than wanted: {_some(short)}")
    largest = max(range(len(names)), key=lambda index: candidates[index])
    if len(names) > 2 and candidates[largest] > total / 2:
        lines.append(f"the class '{names[largest]}' has {candidates[largest] / total:.0%} of all candidates")
    return lines


def format_ranges(ranges: Sequence[Sequence[int]]) -> str:
    """Return the first five ranges as text: [[0, 2], [5, 5]] → "0-2, 5"."""
    return _some([str(first) if first == last else f"{first}-{last}" for first, last in ranges])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
