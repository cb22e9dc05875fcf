"""Accuracy of students on other datasets, the approaches side by side as in the paper's Table 8."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.pipeline.results import PROTOCOLS
from vidsemi.reporting.paper import TABLE_8, TABLE_8_APPROACHES
from vidsemi.reporting.results import (
    THIS_RUN,
    RunResults,
    Spread,
    as_record,
    display_name,
    group_rows,
    student_of,
    top5_of,
)
from vidsemi.reporting.section import Section, Table

PAPER, CUB = "ResNet-50 (paper)", "cub200"


@dataclass(frozen=True, kw_only=True)
class TransferResult:
    """A student on a target dataset, averaged over seeds. None where something is not known.

    The fields are the columns of transfer.csv, except the `INTERNAL` ones. Accuracies are percentages.
    """

    run: str = ""  # empty for the paper
    student: str
    target: str  # name of the dataset
    protocol: str  # one of `PROTOCOLS`
    approach: str  # that trained the student before
    source: str = THIS_RUN
    test_set: str | None = None  # fingerprint
    seeds: int | None = None
    splits: int | None = None  # that the accuracies are means of
    top1: Spread
    top5: Spread | None = None
    mean_class_top1: Spread | None = None
    views: int | None = None  # per video
    unread: int | None = None  # test examples, in the worst seed; they count as wrong
    left_out: int | None = None  # training examples that could not be read, in the worst seed; only known for fc_only
    name: str  # of the student in tables
    unconverged: int = 0  # seeds whose logistic regression did not converge


def transfer_sections(runs: Sequence[RunResults], *, paper: bool = False) -> list[Section]:
    """The transfers of runs; with `paper` also the paper's Table 8 if a target is named cub200.

    Where runs have tested one target on different test sets, results on the second one are in another section.
    """
    results = average_transfer_seeds(runs)
    numbers: dict[str, dict[str | None, int]] = {}  # target → test set → its number
    for result in results:
        own = numbers.setdefault(result.target, {})
        own.setdefault(result.test_set, len(own))
    groups: list[list[TransferResult]] = [[] for _ in range(max(map(len, numbers.values()), default=0))]
    for result in results:
        groups[numbers[result.target][result.test_set]].append(result)
    if paper and CUB in numbers:
        groups[0] += _table_8()
    several = [target for target, own in numbers.items() if len(own) > 1]
    return [_section(group, number, several) for number, group in enumerate(groups, start=1)]


def _section(results: Sequence[TransferResult], number: int, several: Sequence[str]) -> Section:
    notes = _notes(results)
    if several:
        notes.append(f"Evaluated on different test sets, which cannot be compared across tables: {', '.join(several)}.")
    return Section(
        "Transfer" if number == 1 else f"Transfer, other test sets ({number})",
        tables=[_table(results)],
        text=notes,
        data={"transfer": [as_record(result) for result in results], "transfer_notes": notes},
    )


def average_transfer_seeds(runs: Sequence[RunResults]) -> list[TransferResult]:
    """One result per run, student, target, protocol, approach and test set, in the order of the runs' rows."""
    return [
        _average(run, rows, display_name(run, student_of(rows[0]), runs))
        for run in runs
        for rows in group_rows(
            run.transfer_rows, "student", "variant", "transfer", "protocol", "approach", "test_set"
        ).values()
    ]


def _average(run: RunResults, rows: Sequence[dict[str, Any]], name: str) -> TransferResult:
    first = rows[0]
    return TransferResult(
        run=run.name,
        student=student_of(first),
        target=first["transfer"],
        protocol=first["protocol"],
        approach=first["approach"],
        test_set=first.get("test_set"),
        seeds=len(rows),
        splits=len(first.get("splits", [first["top1"]])),
        top1=Spread.of([row["top1"] for row in rows]),
        top5=top5_of(rows),
        mean_class_top1=Spread.of([row["mean_class_top1"] for row in rows]),
        views=first["views"],
        unread=max(row.get("total", 0) - row.get("read", 0) for row in rows),
        left_out=max(row.get("train_total", 0) - row.get("train_read", 0) for row in rows),
        name=name,
        unconverged=sum(row.get("converged", True) is not True for row in rows),
    )


def _table_8() -> list[TransferResult]:
    return [
        TransferResult(
            student="ResNet-50",
            target=CUB,
            protocol=protocol,
            approach=approach,
            source="paper, Table 8",
            top1=Spread(top1),
            name=PAPER,
        )
        for protocol, accuracies in TABLE_8.items()
        for approach, top1 in zip(TABLE_8_APPROACHES, accuracies, strict=True)
    ]


def _table(results: Sequence[TransferResult]) -> Table:
    """A row per target, student and protocol, a column per approach.

    Targets and students keep the order of the results; full_ft comes before fc_only, as in the paper.
    """
    used = dict.fromkeys(result.approach for result in results)
    columns = [approach for approach in TABLE_8_APPROACHES if approach in used]
    columns += [approach for approach in used if approach not in TABLE_8_APPROACHES]
    cells: dict[tuple[str, str, str], dict[str, TransferResult]] = {}
    for result in results:
        cells.setdefault((result.target, result.name, result.protocol), {})[result.approach] = result
    targets, names = (list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1))
    rows = []
    for key in sorted(cells, key=lambda k: (targets.index(k[0]), names.index(k[1]), PROTOCOLS.index(k[2]))):
        own = cells[key]
        accuracies = [str(own[approach].top1) if approach in own else "" for approach in columns]
        seeds = sorted({result.seeds for result in own.values() if result.seeds})
        rows.append((*key, *accuracies, "–".join(map(str, seeds[:1] + seeds[1:][-1:]))))  # the fewest to the most
    return Table(("target", "student", "protocol", *(f"{column} %" for column in columns), "seeds"), rows, 3)


def _notes(results: Sequence[TransferResult]) -> list[str]:
    notes = ["Top-1 on the target's test set. full_ft: full fine-tuning. fc_only: linear probe (logistic regression)."]
    if several := sorted({(result.target, result.splits) for result in results if (result.splits or 1) > 1}):
        notes.append(f"Means over splits: {', '.join(f'{target} ({splits})' for target, splits in several)}.")
    if any((result.seeds or 0) > 1 for result in results):
        notes.append("Accuracies are means over seeds ± sample standard deviation.")
    if unread := max((result.unread or 0 for result in results), default=0):
        notes.append(f"{unread} test examples could not be read; they count as wrong.")
    if left_out := max((result.left_out or 0 for result in results), default=0):
        notes.append(f"{left_out} training examples could not be read; linear probes were trained without them.")
    if late := [result for result in results if result.unconverged]:
        names = ", ".join(f"{result.name} on {result.target} ({result.approach})" for result in late)
        notes.append(f"The logistic regression did not converge: {names}.")
    if any(result.name == PAPER for result in results):
        notes.append("(paper): Table 8 of Yalniz et al. 2019, on CUB-200-2011 after training on ImageNet.")
    return notes
