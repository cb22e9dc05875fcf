"""Plots as plotly.js draws them in the page: data and layout of each panel, without colors of the page's theme."""

import math
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from vidsemi.reporting.plot import BLUE, HeatMap, Line, Panel, Plot, Scale, shorten

DIGITS = 6
GLYPHS = {
    "circle": "●",
    "square": "■",
    "triangle-up": "▲",
    "diamond": "◆",
    "triangle-down": "▼",
    "triangle-left": "◀",
    "triangle-right": "▶",
    "hexagon": "⬢",
    "star": "★",
    "cross": "✚",
    "dot": "•",
}


@cache
def plotly_js() -> str:
    """plotly.js, to be put into a page."""
    return (files("plotly.package_data") / "plotly.min.js").read_text(encoding="utf-8")


def panels(plot: Plot) -> list[dict[str, Any]]:
    """Data and layout of each panel of a plot; each trace has the number of its legend's entry, or none, as `meta`."""
    names = [*plot.legend]
    return [_panel(panel, names) for panel in plot.panels]


def _panel(panel: Panel, names: Sequence[str]) -> dict[str, Any]:
    data = [_heat(panel.heat)] if panel.heat else [_trace(line, names) for line in panel.lines]
    layout: dict[str, Any] = {"xaxis": _axis(panel.x, "x"), "yaxis": _axis(panel.y, "y")}
    if panel.heat:
        layout["xaxis"] |= {"tickangle": -60, "side": "bottom", **_places(panel.heat.columns)}
        layout["yaxis"] |= {"autorange": "reversed", **_places(panel.heat.rows)}
    layout["shapes"] = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "line": {"dash": "dash", "width": 1},
        }
        for x, *_ in panel.marks
    ]
    layout["annotations"] = [
        {
            "x": math.log10(x) if panel.x.log else x,
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "xanchor": side,
            "yanchor": "bottom",
            "text": _text(text),
            "showarrow": False,
        }
        for x, text, side in panel.marks
    ]
    return {"data": data, "layout": layout}


def _text(text: str) -> str:
    """A text that plotly.js shows as it is: neither as its markup nor as a formula."""
    return escape(text, quote=False).replace("$", "&#36;").replace("\n", "<br>")


def _axis(scale: Scale, name: str) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": _text(scale.title)}, "type": "log" if scale.log else "linear"}
    if scale.limits:
        axis["range"] = [math.log10(end) if scale.log else end for end in scale.limits]
    if scale.ticks:
        axis |= {"tickvals": [x for x, _ in scale.ticks], "ticktext": [_text(shorten(text)) for _, text in scale.ticks]}
        if name == "x" and scale.crowded:
            axis["tickangle"] = -60  # at the angle that plotly.js would choose it leaves texts out
    elif scale.thousands:
        axis |= {"tickformat": "~s", "nticks": 6}
    return axis


def _places(names: Sequence[str]) -> dict[str, Any]:
    return {"tickvals": [*range(len(names))], "ticktext": [_text(shorten(name)) for name in names]}


def _trace(line: Line, names: Sequence[str]) -> dict[str, Any]:
    mode = "+".join([*(["lines"] if line.dash else []), *(["markers"] if line.symbols else [])])
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode or "none",
        "x": [*map(_number, line.x)],
        "y": [*map(_number, line.y)],
        "name": _text(line.name),
        "opacity": line.opacity,
        "line": {"color": line.color, "width": line.width, "dash": line.dash or "solid", "shape": line.shape},
        "meta": names.index(line.name) if line.name else None,
        "hoverinfo": "text" if line.hover else "skip",
    }
    if line.hover:
        trace["hovertext"] = [*map(_text, line.hover)]
    if line.hover_numbers:
        del trace["hoverinfo"]
        trace["hovertemplate"] = f"{_text(line.hover_numbers)}<extra></extra>"
    if line.symbols:
        symbols = ["circle" if symbol == "dot" else symbol for symbol in map(line.symbol, range(len(line.x)))]
        trace["marker"] = {
            "color": line.color,
            "size": [line.size * (1.4 if symbol == "star" else 1) for symbol in symbols],
            "symbol": [f"{symbol}-open" if line.hollow else symbol for symbol in symbols],
            "line": {"width": 1.5 if line.hollow else 0},
        }
    if any(not math.isnan(error) for error in line.errors):
        trace["error_y"] = {"type": "data", "array": [*map(_number, line.errors)], "thickness": 1, "width": 4}
        trace["error_y"]["color"] = line.color
    if line.filled:
        trace["fill"] = "tozeroy"
    return trace


def _number(value: float) -> float | None:
    """As exact as a reader can see, which is shorter; JSON has no NaN."""
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _heat(heat: HeatMap) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": heat.values,
        "zmin": 0,
        "colorscale": [[0, "white"], [1, BLUE]],  # the page puts its background in the place of white
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverinfo": "text",
        "hovertext": [[_text(text) for text in row] for row in heat.hover],
        "meta": None,
    }
    if heat.texts:
        trace |= {"text": [[_text(text) for text in row] for row in heat.texts], "texttemplate": "%{text}"}
    return trace
