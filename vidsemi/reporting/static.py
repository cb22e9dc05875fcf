"""Plots as SVG and PNG files, for print, Markdown and slides, by matplotlib: the same bytes for the same data."""

import io
import math
import re
from typing import Any

from vidsemi.reporting.plot import BLUE, INK, Line, Panel, Plot, Scale, plain, shorten

MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "hexagon": "h",
    "star": "*",
    "cross": "P",
    "dot": ".",
}
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
STEPS = {"linear": "default", "hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}
COORDINATES = re.compile(rb' d="[^"]*"')  # of paths: matplotlib writes millionths of a point
LONG_NUMBER = re.compile(rb"(\.\d\d)\d+")
WIDTH = {1: 8.0, 2: 4.7, 3: 3.3}  # columns → width of a panel, inches
PIXELS = 100  # of the page in an inch
MOST_LAID_OUT = 12  # panels; matplotlib's own layout takes seconds for a hundred
LEFT, RIGHT, TOP, BOTTOM, GAP, TITLE = 0.85, 0.15, 0.55, 0.5, 0.75, 0.5  # of the others, inches
LEGEND_COLUMNS = {3: 25, 2: 43}  # → longest text that fits into one
ENTRY_HEIGHT = 0.19  # of a legend, inches


def draw(plot: Plot, format: str) -> bytes:
    """Draw a plot as svg or png, dark on white."""
    figure, grid = _axes(plot)
    for panel, axes in zip(plot.panels, grid, strict=False):
        _draw_panel(axes, panel, small=plot.columns > 1)
    entries = {name: _entry(line) for name, line in plot.legend.items()}
    keys = {text: _pyplot().Line2D([], [], marker=MARKERS[mark], ls="", color="#444444") for mark, text in plot.key}
    for handles, place in ((keys, "upper"), (entries if len(entries) > 1 else {}, "lower")):
        if handles:
            columns = next((n for n, width in LEGEND_COLUMNS.items() if max(map(len, handles)) <= width), 1)
            figure.set_figheight(figure.get_figheight() + ENTRY_HEIGHT * math.ceil(len(handles) / columns))
            outside = "outside " if len(plot.panels) <= MOST_LAID_OUT else ""
            figure.legend(
                handles.values(), handles, loc=f"{outside}{place} center", ncols=columns, frameon=False, fontsize=9
            )
    content = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else None
    figure.savefig(content, format=format, dpi=150, metadata=metadata, bbox_inches="tight")  # cuts no long name
    _pyplot().close(figure)
    if format == "svg":
        return COORDINATES.sub(lambda path: LONG_NUMBER.sub(rb"\1", path[0]), content.getvalue())
    return content.getvalue()


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vidsemi"
    matplotlib.rcParams["text.parse_math"] = False  # a class may be named "$"
    from matplotlib import pyplot

    return pyplot


def _axes(plot: Plot) -> tuple[Any, list[Any]]:
    columns = min(plot.columns, len(plot.panels))
    rows = math.ceil(len(plot.panels) / columns)
    width, height = WIDTH[columns] * columns, plot.height / PIXELS * rows
    if len(plot.panels) <= MOST_LAID_OUT:
        figure, grid = _pyplot().subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
    else:
        figure, grid = _pyplot().subplots(rows, columns, figsize=(width, height), squeeze=False)
        row = height / rows
        figure.subplots_adjust(
            left=LEFT / width,
            right=1 - RIGHT / width,
            top=1 - TOP / height,
            bottom=BOTTOM / height,
            wspace=GAP / (width / columns - GAP),
            hspace=TITLE / (row - TITLE),
        )
    axes = [*grid.flat]
    for empty in axes[len(plot.panels) :]:
        empty.set_axis_off()
    return figure, axes


def _draw_panel(axes: Any, panel: Panel, small: bool) -> None:
    fontsize = 8 if small else 10
    axes.set_title(panel.title, fontsize=fontsize + 1, pad=16 if panel.marks else None)
    axes.set_xlabel(panel.x.title, fontsize=fontsize)
    axes.set_ylabel(panel.y.title, fontsize=fontsize)
    axes.tick_params(labelsize=fontsize - 1)
    if panel.heat:
        _draw_heat(axes, panel)
        return
    for name, scale in (("x", panel.x), ("y", panel.y)):
        _scale(axes, name, scale)
    for line in panel.lines:
        _draw_line(axes, line)
    for place, text, side in panel.marks:
        axes.axvline(place, color="#777777", linestyle="--", linewidth=0.7, zorder=1)
        where = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points"}
        axes.annotate(text, (place, 1), ha=side, fontsize=8, color="#555555", annotation_clip=False, **where)
    axes.grid(alpha=0.25)


def _scale(axes: Any, name: str, scale: Scale) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator

    if scale.log:
        getattr(axes, f"set_{name}scale")("log")
    axis = getattr(axes, f"{name}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(EngFormatter(sep="") if scale.thousands else FuncFormatter(lambda value, _: plain(value)))
    if scale.ticks:
        style = {"rotation": 45, "ha": "right"} if name == "x" and scale.crowded else {}
        getattr(axes, f"set_{name}ticks")(*zip(*((x, shorten(text)) for x, text in scale.ticks), strict=True), **style)
    elif not scale.log:
        axis.set_major_locator(MaxNLocator(5))
    if scale.limits:
        getattr(axes, f"set_{name}lim")(*scale.limits)


def _draw_line(axes: Any, line: Line) -> None:
    color = "black" if line.color == INK else line.color
    style = {"color": color, "alpha": line.opacity, "zorder": 1.5 if line.opacity < 1 else 3}
    if line.filled:
        axes.fill_between(line.x, line.y, step="mid" if line.shape == "hvh" else None, color=color, alpha=0.35, lw=0)
    if line.dash:
        axes.plot(line.x, line.y, ls=DASHES[line.dash], lw=line.width, drawstyle=STEPS[line.shape], marker="", **style)
    if any(not math.isnan(error) for error in line.errors):
        axes.errorbar(line.x, line.y, yerr=line.errors, ls="", elinewidth=0.9, capsize=3, **style)
    for symbol in dict.fromkeys(line.symbols):
        points = [i for i in range(len(line.x)) if line.symbol(i) == symbol]
        axes.plot(
            [line.x[i] for i in points],
            [line.y[i] for i in points],
            ls="",
            marker=MARKERS[symbol],
            markersize=line.size * (1.3 if symbol == "star" else 0.85),
            markerfacecolor="none" if line.hollow else color,
            **style,
        )


def _entry(line: Line) -> Any:
    color = "black" if line.color == INK else line.color
    symbol = MARKERS[line.symbols[0]] if len(set(line.symbols)) == 1 else ""
    style = {"ls": DASHES.get(line.dash, ""), "lw": 2 if line.dash else 0, "alpha": line.opacity}
    return _pyplot().Line2D(
        [], [], color=color, marker=symbol, markerfacecolor="none" if line.hollow else color, **style
    )


def _draw_heat(axes: Any, panel: Panel) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    heat = panel.heat
    assert heat is not None
    colors = LinearSegmentedColormap.from_list("vidsemi", ["white", BLUE])
    axes.imshow(heat.values, cmap=colors, vmin=0, aspect="auto")
    axes.set_xticks(range(len(heat.columns)), [shorten(name) for name in heat.columns], rotation=90)
    axes.set_yticks(range(len(heat.rows)), [shorten(name) for name in heat.rows])
    most = max((value for row in heat.values for value in row), default=0)
    for y, row in enumerate(heat.texts):
        for x, text in enumerate(row):
            color = "white" if heat.values[y][x] > most / 2 else "black"
            axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
