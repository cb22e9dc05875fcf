"""Summary lines for programs: the same plain columns in results.csv and report.json."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vidsemi.io.tables import csv_cell
from vidsemi.report.summary import Line

COLUMNS: dict[str, Callable[[Line], Any]] = {
    "run": lambda line: line.run or None,
    "student": lambda line: line.student,
    "approach": lambda line: line.approach or None,
    "source": lambda line: line.source,
    "model": lambda line: line.model,
    "frames": lambda line: line.frames,
    "seeds": lambda line: line.seeds,
    "top1_mean": lambda line: line.top1.mean,
    "top1_std": lambda line: line.top1.deviation,
    "top5_mean": lambda line: line.top5.mean,
    "top5_std": lambda line: line.top5.deviation,
    "mean_class_top1_mean": lambda line: line.mean_class_top1 and line.mean_class_top1.mean,
    "mean_class_top1_std": lambda line: line.mean_class_top1 and line.mean_class_top1.deviation,
    "gmacs_per_view": lambda line: line.gmacs_per_view,
    "gmacs_per_video": lambda line: line.gmacs_per_video,
    "views": lambda line: line.views,
    "parameters": lambda line: line.parameters,
    "unread_videos": lambda line: line.unread,
    "pareto_gmacs": lambda line: line.pareto_gmacs,
}
SPEED_COLUMNS: dict[str, Callable[[Line], Any]] = {
    "clips_per_second": lambda line: line.clips_per_second,
    "pareto_speed": lambda line: None if line.clips_per_second is None else line.pareto_speed,
}


def records(lines: Sequence[Line], *, speed: bool) -> list[dict[str, Any]]:
    """Each line as column → value; None where there is no value.

    Args:
        lines: of the report.
        speed: with the columns of measured speed.
    """
    columns = _columns(speed)
    return [{name: value(line) for name, value in columns.items()} for line in lines]


def csv_text(lines: Sequence[Line], *, speed: bool) -> str:
    """The records as CSV with a header; an empty cell where there is no value.

    Args:
        lines: of the report.
        speed: with the columns of measured speed.
    """
    return as_csv([*_columns(speed)], records(lines, speed=speed))


def as_csv(header: Sequence[str], records: Sequence[Mapping[str, Any]]) -> str:
    """Records of the header's columns as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in record.values()] for record in records)
    return text.getvalue()


def _columns(speed: bool) -> dict[str, Callable[[Line], Any]]:
    return {**COLUMNS, **(SPEED_COLUMNS if speed else {})}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return csv_cell(value) if isinstance(value, str) else value
