"""What students reach on other datasets, as the paper's Table 8 tells it: the approaches beside each other."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.io.tables import csv_cell, markdown_table
from vidsemi.pipeline.results import PROTOCOLS, is_transfer, read_results
from vidsemi.report.summary import Spread

APPROACHES = ("supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised")  # in Table 8's order
PAPER, CUB = "ResNet-50 (paper)", "cub200"
TABLE_8 = {  # top-1 on CUB-200-2011 in the order of APPROACHES
    "full_ft": (82.1, 83.2, 83.6, 84.8),
    "fc_only": (73.3, 74.0, 80.4, 80.7),
}


@dataclass(frozen=True)
class TransferLine:
    """What a student reached on a target by a protocol, trained by an approach before.

    Attributes:
        run: name of the run; empty for the paper.
        student: its name.
        name: the student's name in tables, where several runs may meet.
        target: name of the dataset.
        protocol: one of `PROTOCOLS`.
        approach: how the student was trained.
        source: where the figures come from.
        top1: percent, of several splits their mean.
        top5: likewise.
        mean_class_top1: likewise.
        splits: number of them.
        seeds: number of runs behind the figures.
        views: views a video.
        unread: test examples that could not be read in the worst run; they count as wrong.
        left_out: training examples that could not be read in the worst run; known of fc_only.
        unconverged: runs whose regressor has not converged.
    """

    run: str
    student: str
    name: str
    target: str
    protocol: str
    approach: str
    source: str
    top1: Spread
    top5: Spread | None = None
    mean_class_top1: Spread | None = None
    splits: int | None = None
    seeds: int | None = None
    views: int | None = None
    unread: int | None = None
    left_out: int | None = None
    unconverged: int = 0


def transfer_lines(runs: Mapping[str, Path], *, paper: bool = False) -> list[TransferLine]:
    """A line for each student, target, protocol and approach of the runs, which come by their names.

    Args:
        runs: directories; with more than one, students carry the name of their run.
        paper: with the paper's Table 8, where a target is named cub200.
    """
    lines = []
    for name, run in runs.items():
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in filter(is_transfer, read_results(run)):
            groups.setdefault((row["student"], row["transfer"], row["protocol"], row["approach"]), []).append(row)
        lines += [_line(name, f"{name}/" if len(runs) > 1 else "", group) for group in groups.values()]
    return lines + (_paper_lines() if paper and any(line.target == CUB for line in lines) else [])


def _line(run: str, prefix: str, group: Sequence[dict[str, Any]]) -> TransferLine:
    first = group[0]
    return TransferLine(
        run=run,
        student=first["student"],
        name=prefix + first["student"],
        target=first["transfer"],
        protocol=first["protocol"],
        approach=first["approach"],
        source="this run",
        top1=Spread.of([row["top1"] for row in group]),
        top5=Spread.of([row["top5"] for row in group]),
        mean_class_top1=Spread.of([row["mean_class_top1"] for row in group]),
        splits=len(first.get("splits", [first["top1"]])),
        seeds=len(group),
        views=first["views"],
        unread=max(row.get("total", 0) - row.get("read", 0) for row in group),
        left_out=max(row.get("train_total", 0) - row.get("train_read", 0) for row in group),
        unconverged=sum(row.get("converged", True) is not True for row in group),
    )


def _paper_lines() -> list[TransferLine]:
    return [
        TransferLine("", "ResNet-50", PAPER, CUB, protocol, approach, "paper, Table 8", Spread(top1, None))
        for protocol, accuracies in TABLE_8.items()
        for approach, top1 in zip(APPROACHES, accuracies, strict=True)
    ]


def transfer_table(lines: Sequence[TransferLine]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of texts: a row a target, student and protocol, a column an approach; empty where there is none.

    Targets and students stand in the order in which they first come; full_ft goes before fc_only, as in the paper.
    """
    others = dict.fromkeys(line.approach for line in lines if line.approach not in APPROACHES)
    columns = [one for one in APPROACHES if any(line.approach == one for line in lines)] + list(others)
    cells: dict[tuple[str, str, str], dict[str, TransferLine]] = {}
    for line in lines:
        cells.setdefault((line.target, line.name, line.protocol), {})[line.approach] = line
    order = [list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1)]
    rows = []
    for key in sorted(cells, key=lambda key: (order[0].index(key[0]), order[1].index(key[1]), PROTOCOLS.index(key[2]))):
        own = cells[key]
        accuracies = [str(own[approach].top1) if approach in own else "" for approach in columns]
        seeds = sorted({line.seeds for line in own.values() if line.seeds})
        rows.append((*key, *accuracies, "–".join(map(str, seeds[:1] + seeds[1:][-1:]))))  # from the fewest to the most
    return ("target", "student", "protocol", *(f"{column} %" for column in columns), "seeds"), rows


def transfer_notes(lines: Sequence[TransferLine]) -> list[str]:
    """What has to be said with the numbers."""
    texts = ["Top-1 on the target's test set; full_ft: the whole network is trained on, fc_only: a logistic regressor."]
    if several := sorted({(line.target, line.splits) for line in lines if (line.splits or 1) > 1}):
        texts.append("Mean of the splits: " + ", ".join(f"{target} ({splits})" for target, splits in several) + ".")
    if any((line.seeds or 0) > 1 for line in lines):
        texts.append("Mean ± sample standard deviation over the seeds.")
    if unread := max((line.unread or 0 for line in lines), default=0):
        texts.append(f"{unread} test examples could not be read; they count as wrong.")
    if left_out := max((line.left_out or 0 for line in lines), default=0):
        texts.append(f"{left_out} training examples could not be read and are left out of the regressors.")
    if late := [line for line in lines if line.unconverged]:
        names = ", ".join(f"{line.name} on {line.target} ({line.approach})" for line in late)
        texts.append(f"The regressor has not converged: {names}.")
    if any(line.name == PAPER for line in lines):
        texts.append("(paper): Table 8 of Yalniz et al. 2019, on CUB-200-2011 after training on ImageNet.")
    return texts


def transfer_markdown(lines: Sequence[TransferLine]) -> str:
    """The table with its notes as a section of results.md; empty without a line."""
    if not lines:
        return ""
    notes = [f"- {note}" for note in transfer_notes(lines)]
    return "\n".join(["\n## Transfer\n", *markdown_table(*transfer_table(lines)), "", *notes, ""])


def transfer_records(lines: Sequence[TransferLine]) -> list[dict[str, Any]]:
    """Each line as column → value, the same in transfer.csv and report.json; None where there is no value."""
    return [
        {
            "run": line.run or None,
            "student": line.student,
            "target": line.target,
            "protocol": line.protocol,
            "approach": line.approach,
            "source": line.source,
            "seeds": line.seeds,
            "splits": line.splits,
            **_spread("top1", line.top1),
            **_spread("top5", line.top5),
            **_spread("mean_class_top1", line.mean_class_top1),
            "views": line.views,
            "unread": line.unread,
            "left_out": line.left_out,
        }
        for line in lines
    ]


def _spread(name: str, value: Spread | None) -> dict[str, float | None]:
    return {f"{name}_mean": value.mean if value else None, f"{name}_std": value.deviation if value else None}


def transfer_csv(lines: Sequence[TransferLine]) -> str:
    """The records as CSV with a header."""
    text = io.StringIO()
    records = transfer_records(lines)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(records[0])
    writer.writerows([csv_cell(cell) if isinstance(cell, str) else cell for cell in own.values()] for own in records)
    return text.getvalue()
