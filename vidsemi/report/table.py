"""Summary lines as a Markdown table that also reads well on a terminal."""

from collections.abc import Sequence

from vidsemi.io.tables import markdown_table
from vidsemi.models.flops import CONVENTION
from vidsemi.report import paper
from vidsemi.report.speed import Speeds
from vidsemi.report.summary import Line

HEADER = ("student", "approach", "top-1 %", "top-5 %", "class mean %", "GMAC / view", "views", "parameters", "seeds")


def table(lines: Sequence[Line], *, speed: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of texts; an empty text where there is no value.

    Args:
        lines: of the report.
        speed: with the column of measured speed.
    """
    if not speed:
        return HEADER, [_cells(line) for line in lines]
    return (*HEADER, "clips / s"), [(*_cells(line), _figure(line.clips_per_second)) for line in lines]


def _cells(line: Line) -> tuple[str, ...]:
    millions = line.parameters and line.parameters / 1e6
    return (
        line.name,
        line.approach,
        str(line.top1),
        str(line.top5),
        _text(line.mean_class_top1),
        _figure(line.gmacs_per_view),
        _text(line.views),
        _text(millions, ".0f" if line.source == paper.SOURCE else ".2f", "M"),  # the paper prints no more digits
        _text(line.seeds),
    )


def _text(value: object, form: str = "", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _figure(value: float | None) -> str:
    """At least three digits, never an exponent where there are more."""
    return _text(value, ",.0f" if value is not None and value >= 100 else ".3g")


def notes(lines: Sequence[Line], speeds: Speeds | None = None) -> list[str]:
    """What has to be said with the numbers."""
    texts = [f"GMAC: {CONVENTION}, in billions; a video costs that times its views."]
    if any((line.seeds or 0) > 1 for line in lines):
        texts.append("Mean ± sample standard deviation over the seeds.")
    unread = max((line.unread or 0 for line in lines), default=0)
    if unread:
        texts.append(f"{unread} test videos could not be read; they count as wrong.")
    if front := [line for line in lines if line.pareto_gmacs]:
        texts.append(f"On the Pareto front of accuracy and multiply-adds: {_names(front)}.")
    if speeds:
        if front := [line for line in lines if line.pareto_speed]:
            texts.append(f"On the Pareto front of accuracy and speed: {_names(front)}.")
        texts.append(f"Clips / s: forward passes of random clips, without reading videos; {speeds.setting}.")
        texts += [f"No speed of {name}." for name in speeds.missing]
    if any(line.source == paper.SOURCE for line in lines):
        texts.append(paper.NOTE)
    return texts


def _names(lines: Sequence[Line]) -> str:
    return ", ".join(f"{line.name} ({line.approach})" for line in lines)


def markdown(lines: Sequence[Line], speeds: Speeds | None = None) -> str:
    """The table with its notes."""
    return (
        "\n".join(
            [
                *markdown_table(*table(lines, speed=speeds is not None)),
                "",
                *(f"- {note}" for note in notes(lines, speeds)),
            ]
        )
        + "\n"
    )
