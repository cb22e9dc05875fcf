"""A plot as data: lines or a heat map on axes. `interactive` draws it in the page, `static` as SVG and PNG files."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

BLUE, GRAY = "#0072b2", "#7f7f7f"  # of Okabe and Ito's palette for the color-blind, as all colors of a report
INK = "ink"  # the color of the text: black on paper, white on a dark screen
COLORS = (BLUE, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # of lines without a color by meaning
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-left", "triangle-right", "hexagon")
DECADES_ONLY, FINE = 300, 12  # ratios of the ends of a log scale: above the first few ticks, below the second many


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        ticks: places and texts; none to choose them by the data.
        thousands: write 10k for 10,000.
    """

    title: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: Sequence[tuple[float, str]] = ()
    thousands: bool = False

    @property
    def crowded(self) -> bool:
        """Whether the texts of a horizontal axis's ticks have to be turned to find room."""
        return sum(len(text) for _, text in self.ticks) > 80


@dataclass(frozen=True)
class Line:
    """Points, connected or not. Lines of one name are one entry of the legend, which switches them on and off.

    Attributes:
        name: in the legend; empty to leave the line out of it.
        y: NaN leaves a gap.
        errors: half lengths of error bars; NaN for none.
        hover: text of each point, lines separated by line breaks; empty for points without.
        hover_numbers: in place of `hover`, the text of all points, with %{x} and %{y} as their numbers: lines of many
            points would repeat it. Must not contain texts of strangers.
        dash: "solid", "dash", "dot", "dashdot", or empty for points that are not connected.
        shape: "linear", or steps: "hv" (horizontal, then vertical), "vh", "hvh".
        symbols: one of `SYMBOLS`, "star", "cross" or "dot" for each point, for all, or none.
        hollow: draw only the outlines of symbols.
        opacity: 1 for a line that matters most.
        filled: fill the area down to zero.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    errors: Sequence[float] = ()
    hover: Sequence[str] = ()
    hover_numbers: str = ""
    color: str = BLUE
    dash: str = "solid"
    width: float = 1.5
    shape: str = "linear"
    symbols: Sequence[str] = ()
    size: float = 8
    hollow: bool = False
    opacity: float = 1
    filled: bool = False

    def symbol(self, point: int) -> str:
        """The symbol of a point; empty for none."""
        return self.symbols[point % len(self.symbols)] if self.symbols else ""


@dataclass(frozen=True)
class HeatMap:
    """A matrix of colored cells, the first row on top.

    Attributes:
        values: (rows, columns); a larger one is darker, from 0.
        texts: (rows, columns), written into the cells; empty for none.
        hover: (rows, columns), lines separated by line breaks.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    hover: Sequence[Sequence[str]]
    texts: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Panel:
    """Axes with lines, or with a heat map.

    Attributes:
        marks: dashed vertical lines: place, the text at its upper end, and the text's end there: "left", "center" or
            "right".
    """

    x: Scale
    y: Scale
    lines: Sequence[Line] = ()
    title: str = ""
    marks: Sequence[tuple[float, str, str]] = ()
    heat: HeatMap | None = None


@dataclass(frozen=True)
class Plot:
    """One or more panels that share a legend.

    Attributes:
        alt: what it shows, for those who do not see it.
        columns: of panels, at most.
        height: of a panel in the page, in pixels.
        key: what symbols mean: symbol and text.
        name: of its files, without suffix; None for a plot that is only in the page.
        png: write a PNG file, too.
        fold: title of the closed element at the section's end that holds it in the page; empty to show it at once.
    """

    alt: str
    panels: Sequence[Panel]
    columns: int = 1
    height: int = 420
    key: Sequence[tuple[str, str]] = ()
    name: str | None = None
    png: bool = False
    fold: str = ""

    @cached_property
    def svg(self) -> bytes:
        """The plot as an SVG file."""
        from vidsemi.reporting.static import draw

        return draw(self, "svg")

    @property
    def files(self) -> dict[str, bytes]:
        """File name → content."""
        from vidsemi.reporting.static import draw

        if self.name is None:
            return {}
        return {f"{self.name}.svg": self.svg} | ({f"{self.name}.png": draw(self, "png")} if self.png else {})

    @property
    def legend(self) -> dict[str, Line]:
        """Name → the first line of that name."""
        lines: dict[str, Line] = {}
        for panel in self.panels:
            for line in panel.lines:
                if line.name:
                    lines.setdefault(line.name, line)
        return lines


def log_scale(title: str, values: Sequence[float]) -> Scale:
    """A logarithmic axis for positive values, with room around them and round numbers as ticks."""
    if not values:
        return Scale(title, log=True)
    ratio = max(values) / min(values)
    margin = max(2.0, ratio**0.15)
    low, high = min(values) / margin, max(values) * margin
    steps = (1.0,) if ratio > DECADES_ONLY else (1.0, 2.0, 5.0) if ratio > FINE else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    ticks = [
        (step * 10.0**power, plain(step * 10.0**power))
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for step in steps
        if low <= step * 10.0**power <= high
    ]
    return Scale(title, log=True, limits=(low, high), ticks=ticks)


def plain(value: float) -> str:
    """A number as it is read: 1,000 or 0.05, never 1e3."""
    return f"{value:,.10f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"


def shorten(text: str, most: int = 24) -> str:
    """A text that fits beside an axis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def rounded(value: float) -> str:
    """Three digits or more, never with an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def plot_names(prefix: str, runs: Sequence[str]) -> list[str]:
    """A file name without suffix for each run's plot: unique, and safe in links."""
    if len(runs) == 1:
        return [prefix]
    names = [f"{prefix}_{re.sub(r'[^a-zA-Z0-9-]+', '_', run)}" for run in runs]
    return names if len(set(names)) == len(names) else [f"{name}_{i}" for i, name in enumerate(names, start=1)]
