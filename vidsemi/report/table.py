"""Summary lines as a Markdown table that also reads well on a terminal."""

from collections.abc import Sequence

from vidsemi.markdown import aligned
from vidsemi.models.flops import CONVENTION
from vidsemi.report.summary import Line

HEADER = ("student", "approach", "top-1 %", "top-5 %", "class mean %", "GMAC / view", "views", "parameters", "seeds")


def cells(line: Line) -> tuple[str, ...]:
    """A line as the texts under `HEADER`."""
    return (
        line.student,
        line.approach,
        str(line.top1),
        str(line.top5),
        str(line.mean_class_top1),
        f"{line.gmacs_per_view:.3g}",
        str(line.views),
        f"{line.parameters / 1e6:.2f}M",
        str(line.seeds),
    )


def notes(lines: Sequence[Line]) -> list[str]:
    """What has to be said with the numbers."""
    texts = [f"GMAC: {CONVENTION}, in billions; a video costs that times its views."]
    if any(line.seeds > 1 for line in lines):
        texts.append("Mean ± sample standard deviation over the seeds.")
    unread = max((line.unread for line in lines), default=0)
    if unread:
        texts.append(f"{unread} test videos could not be read; they count as wrong.")
    return texts


def markdown(lines: Sequence[Line]) -> str:
    """The table with its notes."""
    return "\n".join([*aligned(HEADER, [cells(line) for line in lines]), "", *notes(lines)]) + "\n"
