"""matplotlib for report figures: SVG and PNG files that are the same for the same data."""

import io
import re
from collections.abc import Sequence
from typing import Any

BLUE, GRAY = "#0072b2", "#7f7f7f"  # of Okabe and Ito's palette for the color-blind, as all colors of a report


def pyplot() -> Any:
    """Import matplotlib's pyplot, set up to draw into files."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vidsemi"
    matplotlib.rcParams["text.parse_math"] = False  # a class may be named "$"
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, format: str) -> bytes:
    """Render a matplotlib figure as svg or png, and close it."""
    content = io.BytesIO()
    metadata = {"Date": None} if format == "svg" else None
    figure.savefig(content, format=format, dpi=150, metadata=metadata, bbox_inches="tight")  # cuts no long name
    pyplot().close(figure)
    return content.getvalue()


def plain_numbers() -> Any:
    """A formatter for tick labels: 1,000 instead of 10³, which matplotlib writes as TeX."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, position: f"{value:,.10g}")


def figure_names(prefix: str, runs: Sequence[str]) -> list[str]:
    """A file name without suffix for each run's figure: unique, and safe in links."""
    if len(runs) == 1:
        return [prefix]
    names = [f"{prefix}_{re.sub(r'[^a-zA-Z0-9-]+', '_', run)}" for run in runs]
    return names if len(set(names)) == len(names) else [f"{name}_{i}" for i, name in enumerate(names, start=1)]
