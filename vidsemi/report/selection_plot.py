"""The pictures of a report: accuracy against multiply-adds, and what a selection took from each class."""

import io
from collections.abc import Sequence
from typing import Any

from vidsemi.report.summary import Line
from vidsemi.selection.result import SelectionInfo

COLORS = {"supervised": "#7f7f7f", "semi_supervised": "#d62728", "teacher": "#1f77b4"}
MARKERS = {"teacher": "*"}
MOST_NAMES = 40  # classes whose names still fit below an axis


def plot_accuracy_flops(lines: Sequence[Line], format: str) -> bytes:
    """Draw top-1 over GMAC a view (log axis), one line an approach, bars of one standard deviation.

    Args:
        lines: the points.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for approach in dict.fromkeys(line.approach for line in lines):
        points = sorted((line for line in lines if line.approach == approach), key=lambda line: line.gmacs_per_view)
        color = COLORS.get(approach)
        axes.errorbar(
            [point.gmacs_per_view for point in points],
            [point.top1.mean for point in points],
            yerr=[point.top1.deviation or 0 for point in points],
            label=approach.replace("_", "-"),
            color=color,
            marker=MARKERS.get(approach, "o"),
            markersize=12 if approach in MARKERS else 6,
            capsize=3,
        )
        for point in points:
            if point.student != "teacher":
                axes.annotate(
                    point.student,
                    (point.gmacs_per_view, point.top1.mean),
                    xytext=(7, -11),
                    textcoords="offset points",
                    fontsize=8,
                    color=color,
                )
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.12)
    axes.set_xlabel("billions of multiply-adds per view (log)")
    axes.set_ylabel("top-1 accuracy of the video, %")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return _content(figure, format)


def plot_selection(info: SelectionInfo, format: str) -> bytes:
    """Draw what each class could take and took, most candidates first, and the score of its last row.

    Args:
        info: of the selection.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    pyplot = _pyplot()
    order = sorted(range(len(info.scores.classes)), key=lambda index: -info.candidates_per_class[index])
    figure, (counts, scores) = pyplot.subplots(
        2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 2), layout="constrained"
    )
    places = range(len(order))
    counts.step(places, [info.candidates_per_class[i] for i in order], where="mid", color="#7f7f7f", label="candidates")
    counts.step(places, [info.wanted_per_class[i] for i in order], where="mid", color="black", ls="--", label="wanted")
    chosen = [info.chosen_per_class[i] for i in order]
    counts.fill_between(places, chosen, step="mid", color="#d62728", alpha=0.4, label="chosen")
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylim(bottom=0)
    counts.set_ylabel("examples")
    counts.legend()
    counts.grid(alpha=0.3)
    last = [info.last_score_per_class[i] for i in order]
    scores.plot(places, [float("nan") if score is None else score for score in last], ".", color="#1f77b4")
    scores.set_ylim(0, 1.02)
    scores.set_ylabel("score of the last row")
    scores.grid(alpha=0.3)
    if len(order) <= MOST_NAMES:
        scores.set_xticks(places, [info.scores.classes[i] for i in order], rotation=45, ha="right")
    else:
        scores.set_xlabel("classes, most candidates first")
    return _content(figure, format)


def _pyplot() -> Any:
    """Matplotlib's pyplot, set up to draw into files, the same file for the same figures."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vidsemi"
    matplotlib.rcParams["text.parse_math"] = False  # a class may be called "$"
    from matplotlib import pyplot

    return pyplot


def _content(figure: Any, format: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
    _pyplot().close(figure)
    return content.getvalue()
