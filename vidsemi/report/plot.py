"""Accuracy against multiply-adds, the figure that decides which student to use."""

import io
from collections.abc import Sequence

from vidsemi.report.summary import Line

COLORS = {"supervised": "#7f7f7f", "semi_supervised": "#d62728", "teacher": "#1f77b4"}
MARKERS = {"teacher": "*"}


def plot_accuracy_flops(lines: Sequence[Line], format: str) -> bytes:
    """Draw top-1 over GMAC a view (log axis), one line an approach, bars of one standard deviation.

    Args:
        lines: the points.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vidsemi"  # the same figures give the same file
    from matplotlib import pyplot

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
    content = io.BytesIO()
    figure.savefig(content, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
    pyplot.close(figure)
    return content.getvalue()
